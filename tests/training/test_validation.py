"""What is evaluated of a detector, on which data, under which numbers."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from fpn_jax.data.digits.dataset import write_digits
from fpn_jax.data.example import Category
from fpn_jax.data.formats.tfds import TfdsSource
from fpn_jax.evaluation.coco import BOXES, KEYPOINTS, MASKS, PROPOSALS
from fpn_jax.evaluation.evaluate import Evaluated
from fpn_jax.training.config import Config, DataConfig, EvaluationConfig
from fpn_jax.training.validation import Validation, check_best, measures_of
from fpn_jax.types import Detections
from fpn_jax.zoo.digits import digits_proposal_network
from tests.support.coco_folder import write_coco_folder


class Measured(nn.Module):
    """A detector by what it is measured by: nothing else of it is asked for."""

    measures: tuple[str, ...] = ("boxes",)
    num_classes: int = 10

    def __call__(self, images, sizes, *, train=False): ...

    def loss(self, images, sizes, targets, *, keys, train=False): ...

    def detect(self, images, sizes): ...


def test_what_is_measured_is_what_the_detector_says():
    assert measures_of(digits_proposal_network()) == (PROPOSALS,)
    assert measures_of(Measured()) == (BOXES,)
    every = Measured(measures=("boxes", "masks", "keypoints"))
    assert measures_of(every) == (BOXES, MASKS, KEYPOINTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three digit scenes as a COCO folder with category ids that are no labels."""
    prepared = tmp_path_factory.mktemp("digits") / "1.0.0"
    write_digits(prepared, {"validation": 3})
    source = TfdsSource(prepared, "validation", masks=True)
    examples = [source[index] for index in range(3)]
    categories = [Category(70 + c.id, c.name) for c in source.categories]
    return write_coco_folder(tmp_path_factory.mktemp("coco"), examples, categories)


def truth_found(variables, batch) -> Evaluated:
    """An evaluation step that finds the truth, with boxes' masks all full."""
    shape = batch["labels"].shape
    found = Detections(
        boxes=batch["boxes"],
        scores=np.ones(shape, np.float32),
        labels=batch["labels"],
        valid=batch["valid"] & ~batch["crowd"],
        masks=batch["masks"].astype(np.float32),
        keypoints=batch["keypoints"][..., :2],
    )
    sizes = batch["sizes"], batch["image_sizes"]
    return Evaluated({}, found, batch["image_ids"], *sizes)


def test_the_truth_found_again_has_full_precision_in_the_data_s_numbers(folder):
    """Labels of the model are in another order than those of the data."""
    config = Config(
        model=Measured(measures=("boxes", "masks", "keypoints")),
        data=DataConfig(source=str(folder), canvas=(320, 320), max_boxes=12),
        evaluation=EvaluationConfig(batch_size=2),
    )
    backwards = [Category(n, str(9 - n)) for n in range(10)]

    validation = Validation(config, truth_found, backwards)
    metrics = validation({})

    assert metrics["AP"] == metrics["keypoint/AP"] == 1
    assert validation.read == {0, 1, 2}
    assert metrics["mask/AP50"] == 1
    # Pasting rounds boxes to whole pixels, which small masks suffer from.
    assert metrics["mask/APl"] == 1 and metrics["mask/APm"] > 0.9
    names = {c["id"]: c["name"] for c in validation.ground_truth["categories"]}
    assert names == {70 + n: str(n) for n in range(10)}
    truth = sorted(row["category_id"] for row in validation.ground_truth["annotations"])
    assert sorted(row["category_id"] for row in validation.results) == truth


def test_proposals_are_of_one_category_whatever_the_data_s(folder):
    config = Config(
        model=digits_proposal_network(),
        data=DataConfig(source=str(folder)),
        evaluation=EvaluationConfig(batch_size=jax.device_count()),
    )

    validation = Validation(config, None)

    assert validation.categories == (Category(1, "object"),)
    assert len(validation.ground_truth["categories"]) == 10


@pytest.mark.parametrize(
    ("measures", "best", "allowed"),
    [
        (("boxes",), "mask/AP", "'AP', 'AP50', 'AP75', 'AR@100', 'loss'"),
        (("boxes", "masks"), "keypoint/AP", "'AP75', 'mask/AP', 'AR@100', 'loss'"),
        (("boxes",), "AR@1000", "'AR@100', 'loss'"),
    ],
)
def test_the_best_is_chosen_by_a_metric_that_is_measured(measures, best, allowed):
    model = Measured(measures=measures)
    for chosen in ("AP", "AR@100", "loss"):
        check_best(Config(model=model, evaluation=EvaluationConfig(best=chosen)))
    with pytest.raises(ValueError) as error:
        check_best(Config(model=model, evaluation=EvaluationConfig(best=best)))
    assert str(error.value).startswith("evaluation.best must be one of")
    assert f"{allowed}, got {best!r}" in str(error.value)


def test_every_metric_of_a_measure_has_its_name():
    assert PROPOSALS.overall == ("AR@100", "AR@1000", "AP", "AP50", "AP75")
    assert KEYPOINTS.overall[0] == "keypoint/AR@20"
