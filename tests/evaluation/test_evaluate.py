import numpy as np
import pytest

from fpn_jax.data.sources import readable
from fpn_jax.evaluation.coco import coco_ground_truth
from fpn_jax.evaluation.evaluate import evaluate
from tests.grey_source import GreySource


def nothing_found(variables, batch):
    """An evaluation step without a network."""
    num = len(batch["images"])
    return {
        "terms": {},
        "boxes": np.zeros((num, 1, 4)),
        "scores": np.zeros((num, 1)),
        "valid": np.zeros((num, 1), bool),
        "image_ids": batch["image_ids"],
    }


def test_more_unreadable_images_than_allowed_stop_the_evaluation():
    source = GreySource(6, unreadable=(1, 4))
    settings = {
        "step": nothing_found,
        "source": source,
        "ground_truth": coco_ground_truth(readable(source), source.categories),
        "batch_size": 2,
        "canvas": (40, 40),
        "max_boxes": 1,
    }
    metrics, results = evaluate({}, **settings, max_errors=2)
    assert metrics["AR@100"] == 0 and results == []
    with pytest.raises(ValueError, match="^max_errors: 2 unreadable .* 1.jpg"):
        evaluate({}, **settings, max_errors=1)
