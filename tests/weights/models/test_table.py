"""The table of published weights, held against torchvision's own and the zoo."""

import flax.linen as nn
import numpy as np
import pytest

from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.training.conversion import run_from_torchvision
from fpn_jax.training.published import architecture
from fpn_jax.weights.models.table import MODELS
from fpn_jax.zoo.classifiers import CLASSIFIERS
from fpn_jax.zoo.detectron2 import DETECTRON2
from fpn_jax.zoo.torchvision import TORCHVISION

torch, torchvision = import_torchvision()

FIGURES = {"boxes": "box_map", "masks": "mask_map", "keypoints": "kp_map"} | {
    "top-1": "acc@1"
}


def rows(source: str) -> list:
    return [row for row in MODELS.values() if row.source == source]


@pytest.mark.parametrize("row", rows("torchvision"), ids=lambda row: row.name)
def test_torchvisions_rows_are_torchvisions(row):
    weights = {w.url: w for w in torchvision.models.get_model_weights(row.model)}
    meta = weights[row.url].meta
    assert row.mebibytes == meta["_file_size"]
    (measured,) = meta["_metrics"].values()
    for name, value in row.figures.items():
        assert measured[FIGURES[name]] == value
    assert len(row.figures) == len([*measured]) - (row.task == "classes")
    second = weights[row.url].name in ("IMAGENET1K_V2", "COCO_LEGACY")
    assert second == (row.name != row.model)


def test_all_that_torchvision_has_for_our_architectures_is_there():
    ours = {row.url for row in rows("torchvision")}
    names = [*TORCHVISION, *CLASSIFIERS]
    theirs = {
        w.url
        for name in names
        for w in torchvision.models.get_model_weights(name)
        if w.meta["categories"]  # SSD's VGG-16 is no classifier
    }
    assert theirs <= ours and len(ours) == 11 + 30


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_name_of_a_classifier_has_its_place(name):
    assert name in {row.model for row in rows("torchvision")}
    with torch.device("meta"):
        model = getattr(torchvision.models, name)(weights=None)
    state_dict = {
        name: np.zeros(tensor.shape, str(tensor.dtype).removeprefix("torch."))
        for name, tensor in model.state_dict().items()
        if not name.startswith(("classifier.0.w", "classifier.3.w"))  # half a GB
    }
    run_from_torchvision(name, state_dict)  # raises where one has none


def test_the_zoo_of_detectron2_has_its_addresses():
    row = MODELS["mask_rcnn_R_50_FPN_3x"]
    assert row.url == (
        "https://dl.fbaipublicfiles.com/detectron2/COCO-InstanceSegmentation/"
        "mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl"
    )
    assert row.model == "mask_rcnn_R_50_FPN" and row.digest == "md5:f10217"
    assert row.figures == {"boxes": 41.0, "masks": 37.2}
    # Configurations that Detectron2 has published no weights of.
    unpublished = {"rpn_R_101_FPN", "fast_rcnn_R_101_FPN"}
    unpublished |= {name for name in DETECTRON2 if name.startswith("cascade_rcnn")}
    unpublished |= {
        f"cascade_mask_rcnn_{body}_FPN" for body in ("R_101", "X_101_32x8d")
    }
    assert {row.model for row in rows("detectron2")} == {*DETECTRON2} - unpublished
    assert MODELS["rpn_R_50_FPN_1x"].figures == {"recall": 58.0}
    assert MODELS["fast_rcnn_R_50_FPN_1x"].proposals == "rpn_R_50_FPN_1x"
    for row in rows("detectron2"):
        folder = row.url.split("/")[4]
        assert folder in {
            *("COCO-Detection", "COCO-InstanceSegmentation", "COCO-Keypoints", "Misc")
        }
        assert row.url.split("/")[5] == row.name
        assert row.file == f"model_final_{row.digest.removeprefix('md5:')}.pkl"


def test_yolox_has_no_digest_that_its_authors_published():
    for row in rows("yolox"):
        assert row.url.endswith(f"/YOLOX/releases/download/0.1.1rc0/{row.name}.pth")
        assert row.digest is None and row.mebibytes is None


def test_names_are_no_paths_and_files_are_of_one_model():
    assert all(name.isidentifier() for name in MODELS)
    assert len({row.file for row in MODELS.values()}) == len(MODELS)
    assert all(row.url.startswith("https://") for row in MODELS.values())


@pytest.mark.parametrize("row", MODELS.values(), ids=lambda row: row.name)
def test_every_row_has_its_architecture_in_the_zoo(row):
    assert isinstance(architecture(row), nn.Module)
