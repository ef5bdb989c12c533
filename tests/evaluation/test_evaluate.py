"""Evaluation over batches, with and without a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.data.loader import evaluation_batches
from fpn_jax.data.sources import readable
from fpn_jax.evaluation.coco import BOXES, PROPOSALS
from fpn_jax.evaluation.evaluate import Evaluated, evaluate, evaluation_step
from fpn_jax.evaluation.records import coco_ground_truth
from fpn_jax.types import Detections, LossTerm
from tests.support.gray_source import GraySource


def nothing_found(variables, batch) -> Evaluated:
    """An evaluation step without a network."""
    num = len(batch["images"])
    nothing = Detections(
        boxes=np.zeros((num, 1, 4)),
        scores=np.zeros((num, 1)),
        labels=np.zeros((num, 1), int),
        valid=np.zeros((num, 1), bool),
    )
    return Evaluated({}, nothing, batch["image_ids"])


def settings(source: GraySource, *, max_errors: int) -> dict:
    return {
        "batches": evaluation_batches(
            source, batch_size=2, canvas=(80, 80), max_boxes=1, max_errors=max_errors
        ),
        "ground_truth": coco_ground_truth(readable(source), source.categories),
        "categories": source.categories,
    }


def test_more_unreadable_images_than_allowed_stop_the_evaluation():
    source = GraySource(6, unreadable=(1, 4))
    metrics, results = evaluate(
        {}, step=nothing_found, measures=[PROPOSALS], **settings(source, max_errors=2)
    )
    assert metrics["AR@100"] == 0 and results == []
    with pytest.raises(ValueError, match="^max_errors: 2 unreadable .* 1.jpg"):
        evaluate(
            {},
            step=nothing_found,
            measures=[PROPOSALS],
            **settings(source, max_errors=1),
        )


class Oracle:
    """Finds what the targets say, moved down by `offset`: a model for `apply`."""

    def apply(self, variables, images, sizes, *targets, method, keys=None):
        if method == "loss":
            (self.targets,) = targets
            real = (sizes[:, 0] > 0).sum()
            assert keys.shape == sizes.shape[:1]
            return {"class": LossTerm(2.0 * real, 1.0 * real)}
        offset = jnp.array([[[0, variables["offset"]] * 2]], jnp.float32)
        boxes = self.targets.boxes + offset
        shape = boxes.shape[:2]
        return Detections(
            boxes=boxes,
            scores=jnp.full(shape, 0.5),
            labels=self.targets.labels,
            valid=jnp.ones(shape, bool),
            keypoints=boxes.reshape(*shape, 2, 2),
        )


def test_results_are_in_the_pixels_of_the_original_images():
    """The images of 40 x 40 are doubled on their way: 4 pixels of the canvas are 2."""
    source = GraySource(3)
    step = jax.jit(
        lambda variables, batch: evaluation_step(variables, batch, model=Oracle())
    )

    metrics, results = evaluate(
        {"offset": 4.0}, step=step, measures=[BOXES], **settings(source, max_errors=0)
    )

    assert [result["image_id"] for result in results] == [0, 1, 2]  # no padding
    for result in results:
        assert result["bbox"] == [5, 7, 20, 20]
        assert result["keypoints"] == [5, 7, 1, 25, 27, 1]
    # IoU 18 / 22 = 0.82 passes 7 of 10 thresholds.
    assert metrics["AP/thing"] == metrics["AP"] == pytest.approx(0.7)
    assert metrics["loss"] == metrics["loss/class"] == 2.0


def test_a_cancelled_evaluation_has_no_result():
    arguments = settings(GraySource(3), max_errors=0)
    assert (
        evaluate(
            {},
            step=nothing_found,
            measures=[BOXES],
            canceled=lambda: True,
            **arguments,
        )
        is None
    )
