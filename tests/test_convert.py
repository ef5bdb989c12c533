"""The convert command: a checkpoint to a run, proven, used, and back bit by bit."""

import pickle
import re

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from fpn_jax.backbones.resnet import ResNet
from fpn_jax.convert import main
from fpn_jax.data.formats.coco_names import COCO_IDS
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.evaluate import Arguments, evaluate_run
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.inference import Predictor, load
from fpn_jax.necks.fpn import FPN
from fpn_jax.parity.layouts import numpy_state, tensor_state
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.prove import prove
from fpn_jax.parity.random_detectors import lively_detector, randomize_norms
from fpn_jax.parity.torchvision_detectors import detector_of_weights
from fpn_jax.training.config import Config, DataConfig, TrainConfig
from fpn_jax.training.conversion import (
    exported,
    load_torchvision,
    run_from_detectron2,
    run_from_torchvision,
)
from fpn_jax.training.pretrained import with_pretrained
from fpn_jax.training.programs import make_programs
from fpn_jax.training.run import load_run
from fpn_jax.weights.detectron2 import detector_rules
from fpn_jax.weights.state_dicts import export_state_dict
from fpn_jax.weights.torchvision import detector_from_torchvision
from fpn_jax.zoo.detectron2 import DETECTRON2, mask_rcnn, retinanet

torch, torchvision = import_torchvision()

NAME = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "china.png"
    cv2.imwrite(str(path), load_sample_image("china.jpg")[160:420, :, ::-1])
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Returns a file whose counters of batches are not 0."""
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    model = lively_detector(NAME, [load_sample_image("china.jpg")[160:420]])
    state_dict = model.state_dict()
    for i, name in enumerate(state_dict):
        if name.endswith("num_batches_tracked"):
            state_dict[name].fill_(i)
    torch.save(state_dict, path)
    return path


@pytest.fixture(scope="module")
def run(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "coco"
    assert main(["torchvision", NAME, str(checkpoint), str(out)]) == 0
    return out


def test_the_run_has_the_weights_the_canvas_and_the_categories(checkpoint, run):
    loaded = load_run(run)
    wanted = detector_from_torchvision(
        {n: x.numpy() for n, x in torch.load(checkpoint).items()}, loaded.config.model
    )
    kernel = ["params", "box_head", "fc6", "kernel"]
    ours, theirs = loaded.variables, wanted
    for key in kernel:
        ours, theirs = ours[key], theirs[key]
    np.testing.assert_array_equal(ours, theirs)
    assert loaded.config.data.canvas == (320, 640)
    assert loaded.categories == COCO_IDS


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_export_gives_the_file_back_bit_by_bit(checkpoint, run, tmp_path, suffix):
    path = tmp_path / f"back.{suffix}"
    assert main(["export", str(run), str(path)]) == 0
    if suffix == "pth":
        back = torch.load(path, weights_only=True)
    else:
        from safetensors.torch import load_file

        back = load_file(path)
    wanted = torch.load(checkpoint)
    assert back.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)
    build = getattr(torchvision.models.detection, NAME)
    build(weights=None, weights_backbone=None).load_state_dict(back, strict=True)


def test_the_proof_says_equal(checkpoint, photograph, tmp_path, capsys):
    arguments = ["torchvision", NAME, str(checkpoint), str(tmp_path / "run")]
    assert main([*arguments, "--prove", str(photograph)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "proven equal"
    assert printed[1].startswith("module")
    image, theirs, ours, equal, tied = printed[-2].split()
    assert image == str(photograph)
    assert int(theirs) == int(ours) == int(equal) + int(tied) > 5


def test_the_proof_fails_where_a_threshold_is_another(checkpoint):
    state_dict = {n: x.numpy() for n, x in torch.load(checkpoint).items()}
    run = run_from_torchvision(NAME, state_dict)
    theirs = detector_of_weights(NAME, state_dict, run.config.model)
    model = run.config.model
    other = model.clone(box_head=model.box_head.clone(nms_threshold=0.3))
    image = load_sample_image("china.jpg")[160:420]
    detect = Predictor(other, run.variables, (320, 640), padding="exact")
    (proof,) = prove(theirs, model, run.variables, detect, [image])
    assert not proof.holds
    assert max(proof.differences.values()) < 1e-4


def test_a_fine_tuned_model_has_its_own_classes():
    build = getattr(torchvision.models.detection, NAME)
    model = build(weights=None, weights_backbone=None, num_classes=4)
    run = run_from_torchvision(NAME, numpy_state(model))
    assert run.config.model.box_head.num_classes == 3
    assert [c.id for c in run.categories] == [1, 2, 3]
    assert [c.name for c in run.categories] == ["class 1", "class 2", "class 3"]


def test_a_model_that_knows_the_background_alone_is_refused():
    build = getattr(torchvision.models.detection, NAME)
    with torch.device("meta"):
        names = build(weights=None, weights_backbone=None, num_classes=1).state_dict()
    state_dict = {name: np.zeros(x.shape) for name, x in names.items()}
    with pytest.raises(ValueError, match="has one score, the background's"):
        run_from_torchvision(NAME, state_dict)


def test_norms_that_count_batches_are_batch_norm_and_others_are_frozen():
    build = torchvision.models.detection.fasterrcnn_resnet50_fpn
    state_dict = numpy_state(build(weights=None, weights_backbone=None))
    frozen = {n: x for n, x in state_dict.items() if not n.endswith("batches_tracked")}

    def norm(state_dict, **options):
        run = run_from_torchvision("fasterrcnn_resnet50_fpn", state_dict, **options)
        backbone = run.config.model.backbone
        return backbone.norm, backbone.norm_epsilon

    assert len(state_dict) == 348 and len(frozen) == 295
    assert norm(state_dict) == ("batch", 1e-5)
    assert norm(frozen) == ("frozen", 0.0)
    assert norm(frozen, norm_epsilon=1e-5) == ("frozen", 1e-5)


def test_a_file_of_detectron2_makes_a_run(tmp_path):
    detector = DETECTRON2["rpn_R_50_FPN"]()
    inputs = jax.random.key(0), jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    random = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: random.normal(size=leaf.shape).astype(np.float32),
        jax.eval_shape(detector.init, *inputs),
    )
    state_dict = export_state_dict(variables, detector_rules(detector))
    file, out = tmp_path / "model_final_02ce48.pkl", tmp_path / "coco"
    file.write_bytes(pickle.dumps({"model": state_dict, "__author__": "Detectron2"}))

    assert main(["detectron2", "rpn_R_50_FPN", str(file), str(out)]) == 0

    loaded = load_run(out)
    assert loaded.config.model == detector
    assert loaded.config.data.canvas == (800, 1333)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)


@pytest.mark.parametrize(
    "name, detector",
    [
        ("mask_rcnn_R_50_FPN", mask_rcnn(num_classes=5)),
        ("retinanet_R_50_FPN", retinanet(num_classes=5)),
    ],
)
def test_a_model_fine_tuned_in_detectron2_has_its_own_classes(name, detector, tmp_path):
    file = tmp_path / "model_final.pth"
    inputs = jax.random.key(0), jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    variables = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, np.float32),
        jax.eval_shape(detector.init, *inputs),
    )
    state = export_state_dict(variables, detector_rules(detector))
    tensors = tensor_state({n: np.ascontiguousarray(x) for n, x in state.items()})
    torch.save({"model": tensors, "iteration": 89999, "best": np.float64(0.3)}, file)
    run = run_from_detectron2(name, file)
    assert run.config.model == detector
    assert [c.id for c in run.categories] == [1, 2, 3, 4, 5]
    assert [c.name for c in run.categories][::4] == ["class 1", "class 5"]


def test_one_class_of_other_keypoints_is_no_person():
    names = {}
    for points in (17, 4):
        build = torchvision.models.detection.keypointrcnn_resnet50_fpn
        model = build(weights=None, weights_backbone=None, num_keypoints=points)
        run = run_from_torchvision("keypointrcnn_resnet50_fpn", numpy_state(model))
        assert run.config.model.keypoint_head.num_keypoints == points
        names[points] = [category.name for category in run.categories]
    assert names == {17: ["person"], 4: ["class 1"]}


def test_a_prefix_in_the_file_is_none_in_the_run(checkpoint, tmp_path):
    state_dict = torch.load(checkpoint)
    prefixed = {f"model.module.{name}": tensor for name, tensor in state_dict.items()}
    torch.save(
        {"model_ema": {"n_averaged": torch.tensor(1), **prefixed}}, tmp_path / "a.pth"
    )
    loaded = load_torchvision(NAME, tmp_path / "a.pth")
    assert loaded.keys() == state_dict.keys()
    ours, theirs = (
        run_from_torchvision(NAME, {n: np.asarray(x) for n, x in tensors.items()})
        for tensors in (prefixed, state_dict)
    )
    assert ours.config == theirs.config
    jax.tree.map(np.testing.assert_array_equal, ours.variables, theirs.variables)


def test_a_classifier_makes_a_backbone_to_train_from(tmp_path, capsys):
    torch.manual_seed(0)
    classifier = randomize_norms(torchvision.models.resnet18(num_classes=7))
    file, out = tmp_path / "resnet18.pth", tmp_path / "backbone"
    torch.save(classifier.state_dict(), file)
    assert main(["torchvision", "resnet18", str(file), str(out), "--prove"]) == 0
    *_, module, c2, _, _, _, verdict = capsys.readouterr().out.splitlines()
    assert module.startswith("module") and c2.startswith("C2")
    assert verdict == "proven equal"

    backbone = load_run(out).variables["params"]["backbone"]
    detector = OneStage(
        ResNet(depth=18, levels=(4, 5)), FPN(32, extra="none"), FCOSHead(3, num_convs=1)
    )
    train = TrainConfig(pretrained=(str(out),))
    config = Config(detector, DataConfig(canvas=(64, 64), batch_size=8), train=train)
    params = with_pretrained(make_programs(config).init(), config).params["backbone"]
    jax.tree.map(np.testing.assert_array_equal, params, backbone)

    measure = lambda run: evaluate_run(Arguments(run))[0]  # noqa: E731
    for use in (load, measure, exported):
        with pytest.raises(ValueError, match="holds a backbone.*--train.pretrained"):
            use(out)


WRONG = {
    "torchvisio x y z": "must be one of .*'torchvision'.*nearest: 'torchvision'",
    "torchvision fasterrcnn_resnet5_fpn FILE OUT": "nearest: 'fasterrcnn_resnet50_fpn'",
    "torchvision resnet50 FILE OUT": "weights of a detector of torchvision, such as",
    "detectron2 rpn_R_50_FPN FILE OUT": "convert torchvision MODEL FILE OUT",
    "torchvision resnet50 https://a.b/c.pth OUT": "an address; download it",
    "torchvision fcos_resnet50_fpn FILE OUT": "311 missing, 322 unknown, 2 of another",
    "torchvision fcos_resnet50_fpn none.pth OUT": "there is none",
    "torchvision fcos_resnet50_fpn FILE": "OUT|the run directory to make",
    "detectron2 faster_rcnn_R_5_FPN FILE OUT": "nearest: 'faster_rcnn_R_50_FPN'",
    "detectron2 fast_rcnn_R_50_FPN FILE OUT": "needs the file of a proposal network",
    "detectron2 rpn_R_50_FPN FILE OUT --proposals FILE": "must be left out",
    "export OUT back.pth": "not a run",
    "export RUN back.txt": "suffix of path must be one of '.pth'",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_input_is_one_line(arguments, checkpoint, run, tmp_path, capsys):
    places = {"FILE": str(checkpoint), "OUT": str(tmp_path / "out"), "RUN": str(run)}
    with pytest.raises(SystemExit) as stop:
        main([places.get(word, word) for word in arguments.split()])
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.startswith("fpn-jax convert: ") and said.count("\n") == 1
    assert re.search(WRONG[arguments], said)
    assert len(said) < 2000  # whatever the number of names
    assert not (tmp_path / "out").exists()
