"""What a user gets is what was evaluated: `predict --json` scored by pycocotools."""

import contextlib
import io
import json
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from fpn_jax import evaluate, predict
from fpn_jax.backbones.dummy import Dummy
from fpn_jax.compilation import call_once
from fpn_jax.data.example import Category, Example, KeypointSpec
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.inference import load
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.config import Config, DataConfig, EvaluationConfig
from fpn_jax.training.run import Run, save_run
from tests.support.coco_folder import write_coco_folder
from tests.support.commands import command, environment

CANVAS, BATCH = (96, 128), 4
CATEGORIES = (Category(1, "cat"), Category(7, "dog"))
POINTS = KeypointSpec(("nose", "tail", "paw"), flip=(0, 1, 2))
# Lying, standing, square, odd, far from the ratio of the canvas; larger and smaller.
SHAPES = [
    *[(96, 128), (150, 201), (128, 96), (77, 77), (40, 211), (222, 37), (63, 85)],
    *[(301, 190), (97, 130)],
]
FIGURES = {
    ("bbox", ""): "AP AP50 AP75 APs APm APl AR@1 AR@10 AR@100 ARs@100 ARm@100 ARl@100",
    ("segm", "mask/"): (
        "AP AP50 AP75 APs APm APl AR@1 AR@10 AR@100 ARs@100 ARm@100 ARl@100"
    ),
    ("keypoints", "keypoint/"): (
        "AP AP50 AP75 APm APl AR@20 AR50@20 AR75@20 ARm@20 ARl@20"
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of random weights and a COCO folder in which it is right now and then."""
    place = tmp_path_factory.mktemp("road")
    few = {"pool": RoIPool(size=14, levels=(3, 4)), "num_convs": 1, "channels": 8}
    model = TwoStage(
        Dummy(levels=(3, 4)),
        FPN(8),
        RPNHead(anchor_sizes=((16,), (32,), (64,)), pre_nms=60, post_nms=40),
        BoxHead(2, pool=RoIPool(levels=(3, 4)), hidden_features=16, max_detections=9),
        mask_head=MaskHead(2, **few),
        keypoint_head=KeypointHead(3, **few),
    )
    images, sizes = jnp.zeros((1, *CANVAS, 3)), jnp.array([CANVAS])
    variables = call_once(model.init, jax.random.key(0), images, sizes)
    # As they come, masks are specks around one half; these fill their boxes.
    last = variables["params"]["mask_head"]["mask_logits"]
    last |= {"bias": last["bias"] + 2}
    (place / "coco").mkdir()
    data = DataConfig(
        source=str(place / "coco"), canvas=CANVAS, max_boxes=16, mask_size=28
    )
    config = Config(model=model, data=data, evaluation=EvaluationConfig(BATCH))
    save_run(place / "run", Run(config, variables, 0, CATEGORIES))
    pictures = [picture(*shape, seed) for seed, shape in enumerate(SHAPES)]
    found = load(place / "run", batch_size=BATCH)(pictures)
    examples = [
        truth(number, image, detections)
        for number, (image, detections) in enumerate(zip(pictures, found, strict=True))
    ]
    write_coco_folder(place / "coco", examples, CATEGORIES)
    return place


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Colored squares of 16 pixels and noise: not alike everywhere."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 200, (height // 16 + 1, width // 16 + 1, 3))
    squares = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    return (squares + random.integers(0, 56, (height, width, 3))).astype(np.uint8)


def truth(number: int, image: np.ndarray, found) -> Example:
    """Two thirds of what was found, moved a little, some under another name."""
    random = np.random.default_rng(100 + number)
    rows = np.flatnonzero(np.arange(len(found.scores)) % 3 < 2)
    height, width = image.shape[:2]
    sides = np.tile(found.boxes[rows, 2:] - found.boxes[rows, :2], 2)
    boxes = found.boxes[rows] + sides * random.uniform(-0.12, 0.12, (len(rows), 4))
    boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    moved = [
        np.roll(mask, random.integers(-1, 2, 2), (0, 1)) for mask in found.masks[rows]
    ]
    keypoints = found.keypoints[rows]
    keypoints = keypoints + random.normal(0, 1, keypoints.shape)
    seen = np.full((len(rows), 3, 1), 2)
    return Example(
        image_id=50 - number,  # in another order than the files
        name=f"{number}.png",
        image=image,
        boxes=boxes,
        labels=np.where(random.random(len(rows)) < 0.2, 0, found.labels[rows]).astype(
            np.int32
        ),
        crowd=np.arange(len(rows)) == 4,
        areas=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        masks=np.reshape(moved, (-1, height, width)),
        keypoints=np.concatenate([keypoints, seen], axis=-1).astype(np.float32),
        keypoint_spec=POINTS,
    )


@pytest.fixture(scope="module")
def evaluated(place):
    """The figures that the command writes; null of a size that the data lacks."""
    path = place / "figures.json"
    files = ["--json", path, "--predictions", place / "found.json"]
    files += ["--plots", place / "evaluated" / "plots"]
    assert evaluate.main([str(place / "run"), *map(str, files)]) == 0
    return json.loads(path.read_text())


def test_what_was_found_is_written_and_drawn(place, evaluated):
    truth = json.loads((place / "coco" / "annotations.json").read_text())
    found = json.loads((place / "found.json").read_text())
    precision = by_pycocotools(truth, found, "bbox")[0]
    assert precision == pytest.approx(evaluated["AP"], abs=1e-6)
    plots = list((place / "evaluated" / "plots").iterdir())
    names = {path.stem for path in plots}
    assert names >= {"precision_recall", "f1", "confusion", "samples"}
    assert all(np.asarray(Image.open(path)).std() > 5 for path in plots)


def test_images_that_fit_a_tile_have_the_same_figures(place, evaluated, tmp_path):
    path = tmp_path / "figures.json"
    options = ["--tiles", "400", "--json", str(path)]
    options += ["--predictions", str(tmp_path / "found.json")]
    assert evaluate.main([str(place / "run"), *options]) == 0
    assert len(json.loads((tmp_path / "found.json").read_text())) > 20
    figures = json.loads(path.read_text())
    assert figures.keys() == {k for k in evaluated if not k.startswith("loss")}
    for name, value in figures.items():
        assert value == pytest.approx(evaluated[name], abs=1e-6), name


def test_the_figures_count_as_many_as_asked_for(place, caplog, tmp_path):
    path = tmp_path / "figures.json"
    options = ["--max-detections", "2", "--json", str(path)]
    assert evaluate.main([str(place / "run"), *options]) == 0
    figures = json.loads(path.read_text())
    assert "AR@2" in figures and "AR@10" not in figures
    assert "5 objects of a class in an image, of whose detections 2" in caplog.text


@pytest.mark.parametrize(
    "options, said",
    [
        (["--max-detections", "0"], "max-detections: 0 given"),
        (["--nms-threshold", "2"], "nms-threshold: 2.0 given"),
        (["--tiles", "0"], "tiles: 0 given"),
        (["--plots", __file__], "plots: '"),
        (["--predictions", "no/found.json"], "predictions: no directory 'no'"),
        (["--tiles", "64", "--overlap", "1"], "overlap: 1.0 given, must be 0"),
        (["--tta", "mirror"], "tta: 'mirror' given, must be 'flip' or a scale"),
    ],
)
def test_views_that_mean_nothing_are_a_line(place, capsys, options, said):
    with pytest.raises(SystemExit) as stop:
        evaluate.main([str(place / "run"), *options])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"fpn-jax evaluate: {said}") and error.count("\n") == 1


@pytest.mark.parametrize("batch_size", [BATCH, 1])
def test_predictions_in_a_file_have_the_figures_of_the_evaluation(
    place, evaluated, batch_size, tmp_path, capsys
):
    truth = json.loads((place / "coco" / "annotations.json").read_text())
    files = {
        str(place / "coco" / row["file_name"]): row["id"] for row in truth["images"]
    }
    capsys.readouterr()
    options = ["--json", str(tmp_path / "found.json"), "--out", str(tmp_path)]
    options += ["--score-threshold", "0", "--batch-size", str(batch_size)]
    assert predict.main([str(place / "run"), *files, *options]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in printed[:-1]] == list(files)
    results = json.loads((tmp_path / "found.json").read_text())
    results = [row | {"image_id": files[row.pop("image")]} for row in results]
    assert len({row["image_id"] for row in results}) == len(SHAPES)
    for (kind, prefix), names in FIGURES.items():
        expected = by_pycocotools(truth, results, kind)
        ours = [evaluated[prefix + name] for name in names.split()]
        # COCO's tool says -1 of a size that the data does not have.
        ours = [-1 if value is None else value for value in ours]
        assert 0.05 < expected[0] < 0.95  # neither nothing nor all is right
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_two_processes_evaluate_images_of_both_canvases_to_the_same_figures(
    place, evaluated, tmp_path
):
    announced = {
        "JAX_COORDINATOR_ADDRESS": "127.0.0.1:21613",
        "JAX_NUM_PROCESSES": "2",
    }
    asked = ("evaluate", place / "run", "--distributed", "--json")
    processes = [
        subprocess.Popen(
            command(*asked, tmp_path / "figures.json"),
            env=environment(tmp_path, **announced, JAX_PROCESS_ID=str(number)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    printed = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    together = json.loads((tmp_path / "figures.json").read_text())
    assert together.keys() == evaluated.keys()
    for name, figure in evaluated.items():
        tolerance = {"rel": 1e-4} if "loss" in name else {"abs": 1e-6}
        assert together[name] == pytest.approx(figure, **tolerance), name


def by_pycocotools(truth: dict, results: list[dict], kind: str) -> np.ndarray:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    field = {"segm": "segmentation"}.get(kind, kind)
    rows = [
        {name: row[name] for name in ("image_id", "category_id", "score", field)}
        for row in results
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        rows_of_truth = [row | {"num_keypoints": 3} for row in truth["annotations"]]
        coco.dataset = truth | {"annotations": rows_of_truth}
        coco.createIndex()
        oracle = COCOeval(coco, coco.loadRes(rows), kind)
        if kind == "keypoints":
            # The mean of COCO's 17, of points that the data says nothing of.
            oracle.params.kpt_oks_sigmas = np.full(
                3, oracle.params.kpt_oks_sigmas.mean()
            )
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
    return oracle.stats
