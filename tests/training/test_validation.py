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
from fpn_jax.training.validation import Validation, measures_of
from fpn_jax.types import Detections
from fpn_jax.zoo.digits import digits_proposal_network
from tests.support.coco_folder import write_coco_folder


class Heads(nn.Module):
    """A detector by its heads; its number of classes is not asked for."""

    mask_head: nn.Module | None = None
    keypoint_head: nn.Module | None = None


class Digits(nn.Module):
    num_classes: int = 10


def test_what_is_measured_follows_from_the_heads():
    assert measures_of(digits_proposal_network()) == (PROPOSALS,)
    assert measures_of(Heads()) == (BOXES,)
    assert measures_of(Heads(mask_head=Digits())) == (BOXES, MASKS)
    assert measures_of(Heads(keypoint_head=Digits())) == (BOXES, KEYPOINTS)


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
        boxes=batch["boxes"] / np.tile(batch["scales"], 2)[:, None],
        scores=np.ones(shape, np.float32),
        labels=batch["labels"],
        valid=batch["valid"] & ~batch["crowd"],
        masks=batch["masks"].astype(np.float32),
        keypoints=batch["keypoints"][..., :2] / batch["scales"][:, None, None],
    )
    return Evaluated({}, found, batch["image_ids"])


def test_the_truth_found_again_has_full_precision_in_the_data_s_numbers(folder):
    """Labels of the model are in another order than those of the data."""
    config = Config(
        model=Heads(mask_head=Digits(), keypoint_head=Digits()),
        data=DataConfig(source=str(folder), canvas=(320, 320), max_boxes=12),
        evaluation=EvaluationConfig(batch_size=2),
    )
    backwards = [Category(n, str(9 - n)) for n in range(10)]

    validation = Validation(config, truth_found, backwards)
    metrics = validation({})

    assert metrics["AP"] == metrics["keypoint/AP"] == 1
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
