"""A file that belongs to another command, or to none, is told in one line."""

import pickle

import numpy as np
import pytest

from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.training.conversion import (
    load_yolox,
    run_from_detectron2,
    run_from_torchvision,
)
from fpn_jax.weights.detectron2_file import detectron2_state_dict
from fpn_jax.weights.origins import Kind, check_origin
from fpn_jax.weights.state_dicts import load_state_dict

torch, torchvision = import_torchvision()

# A few names of each library's files, and who takes them.
NAMES: dict[Kind, list[str]] = {
    "torchvision": ["backbone.body.conv1.weight", "rpn.head.conv.0.0.weight"],
    "detectron2": ["backbone.bottom_up.stem.conv1.weight", "backbone.fpn_output2.bias"],
    "classifier": ["conv1.weight", "layer1.0.conv1.weight", "fc.bias"],
    "yolox": ["backbone.backbone.stem.conv.conv.weight", "head.stems.0.conv.weight"],
}
OTHERS = {
    "a YOLO of Ultralytics": ["model.0.conv.weight", "model.22.cv2.0.0.conv.weight"],
    "MMDetection": ["backbone.layer1.0.conv1.weight", "neck.lateral_convs.0.conv.bias"],
    "DETR or another": [
        "backbone.0.body.layer1.0.conv1.weight",
        "transformer.encoder.x",
    ],
    "a model of Detectron2 without": [
        "backbone.res2.0.conv1.weight",
        "roi_heads.res5.x",
    ],
    "an ImageNet backbone of Detectron2": ["conv1_w", "res2_0_branch2a_w"],
    "an SSD of torchvision": ["backbone.features.0.weight", "head.x.bias"],
    "an R-CNN of torchvision without": [
        "backbone.0.0.weight",
        "rpn.head.cls_logits.bias",
    ],
    "a detector of another library": ["layer1.0.conv1.weight", "fpn.P5_1.weight"],
    "this package, under its own": ["params/backbone/stem/conv/kernel"],
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("prefix", ["", "module.", "model.detector."])
def test_names_pass_where_they_belong_and_are_refused_elsewhere(kind, prefix):
    names = [prefix + name for name in NAMES[kind]]
    for wanted in NAMES:
        if wanted == kind:
            check_origin(names, wanted)
        else:
            with pytest.raises(ValueError, match="^the file holds weights of [^\n]*$"):
                check_origin(names, wanted)


@pytest.mark.parametrize("holder", OTHERS)
def test_the_weights_of_other_models_are_said_to_have_no_use(holder):
    for wanted in NAMES:
        with pytest.raises(ValueError, match=f"weights of {holder}.*, such as "):
            check_origin(OTHERS[holder], wanted)


def test_names_that_are_nobodys_pass():
    check_origin(["stem.weight", "blocks.0.weight"], "torchvision")


def test_published_names_of_torchvision_are_its_own():
    build = torchvision.models.detection
    for name in ("retinanet_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_fpn"):
        with torch.device("meta"):
            names = getattr(build, name)(weights=None, weights_backbone=None)
        check_origin(names.state_dict(), "torchvision")
    for name in ("resnet18", "vgg11", "mobilenet_v3_small"):
        with torch.device("meta"):
            names = getattr(torchvision.models, name)().state_dict()
        check_origin(names, "classifier")


def test_each_conversion_names_the_other(tmp_path):
    state = {name: np.ones(1, np.float32) for name in NAMES["detectron2"]}
    (tmp_path / "zoo.pkl").write_bytes(pickle.dumps({"model": state}))
    with pytest.raises(ValueError, match="fpn-jax convert detectron2 MODEL FILE OUT"):
        run_from_torchvision(
            "fasterrcnn_resnet50_fpn", load_state_dict(tmp_path / "zoo.pkl")
        )
    with pytest.raises(ValueError, match="fpn-jax convert detectron2 MODEL FILE OUT"):
        run_from_torchvision("resnet18", state)
    state = {name: np.ones(1, np.float32) for name in NAMES["yolox"]}
    with pytest.raises(ValueError, match="fpn-jax convert yolox MODEL FILE OUT"):
        run_from_torchvision("fasterrcnn_resnet50_fpn", state)
    tensors = {name: torch.ones(1) for name in NAMES["torchvision"]}
    torch.save({"model": tensors}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match="fpn-jax convert torchvision MODEL FILE OUT"):
        run_from_detectron2("faster_rcnn_R_50_FPN", tmp_path / "model.pth")
    with pytest.raises(ValueError, match="fpn-jax convert torchvision MODEL FILE OUT"):
        load_yolox("yolox_nano", tmp_path / "model.pth")


def test_a_pickle_that_torch_has_written_is_read_as_such(tmp_path):
    path = tmp_path / "model.pkl"
    torch.save({"model": {n: torch.ones(1) for n in NAMES["detectron2"]}}, path)
    assert list(detectron2_state_dict(path)) == NAMES["detectron2"]
