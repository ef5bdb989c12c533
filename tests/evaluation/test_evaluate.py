"""Evaluation over batches, with and without a network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.data.batching import Batching
from fpn_jax.data.example import Example, Truth
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
    return Evaluated(
        {}, nothing, batch["image_ids"], batch["sizes"], batch["image_sizes"]
    )


class Annotated(GraySource):
    """Gray images whose objects are known, also those of unreadable images."""

    def truth(self, index: int) -> Truth:
        return Truth(
            image_id=index,
            name=f"{index}.jpg",
            size=(40, 40),
            xywh=np.array([[5.0, 5, 20, 20]]),
            labels=np.zeros(1, np.int32),
            crowd=np.zeros(1, np.bool_),
            areas=np.array([400.0]),
        )


def settings(source: GraySource, *, max_errors: int) -> dict:
    return {
        "batches": evaluation_batches(
            source,
            Batching(batch_size=2, canvas=(80, 80), max_boxes=1, max_errors=max_errors),
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


def test_objects_of_unreadable_images_are_missed_and_a_line_says_so(caplog):
    """Three of four objects are found."""
    source, read = Annotated(4, unreadable=(1,)), set()
    step = jax.jit(
        lambda variables, batch: evaluation_step(variables, batch, model=Oracle())
    )

    metrics, _ = evaluate(
        {"offset": 0.0},
        step=step,
        measures=[BOXES],
        read=read,
        **settings(source, max_errors=1),
    )

    assert metrics["AR@100"] == 0.75
    assert metrics["AP"] == pytest.approx(76 / 101)  # recalls 0, 0.01 … 0.75
    assert read & set(range(4)) == {0, 2, 3}
    message = "1 of 4 images could not be read; their objects (1) count as missed"
    assert message in caplog.messages


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


def test_boxes_go_back_by_the_size_that_they_were_scaled_by():
    """Said to be 100 pixels on the canvas, not 80: 24 pixels there are 9.6."""
    step = jax.jit(
        lambda variables, batch: evaluation_step(variables, batch, model=Oracle())
    )
    _, results = evaluate(
        {"offset": 4.0},
        step=step,
        measures=[BOXES],
        fitted_size=lambda size: (2.5 * size[0], 2.5 * size[1]),
        **settings(GraySource(1), max_errors=0),
    )
    assert results[0]["bbox"] == pytest.approx([4, 5.6, 16, 16])


def test_a_canceled_evaluation_has_no_result():
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


class Standing(GraySource):
    """Gray images of which the second and fourth are 60 high and 30 wide."""

    def __init__(self, size: int, *, known: bool):
        super().__init__(size)
        shapes = [(60, 30) if index % 2 else (40, 40) for index in range(size)]
        self._shapes, self.image_sizes = shapes, np.int32(shapes) if known else None

    def __getitem__(self, index: int) -> Example:
        image = np.full((*self._shapes[index], 3), 128, np.uint8)
        return dataclasses.replace(super().__getitem__(index), image=image)


@pytest.mark.parametrize("known", [True, False])
def test_results_of_both_canvases_are_in_the_order_of_the_images(known):
    """On 40 x 80, or turned, an image of 60 x 30 grows by 4 / 3; 40 x 40 stays."""
    source, shapes = Standing(5, known=known), []

    def step(variables, batch):
        shapes.append(batch["images"].shape)
        return evaluation_step(variables, batch, model=Oracle())

    metrics, results = evaluate(
        {"offset": 4.0},
        step=step,
        measures=[BOXES],
        batches=evaluation_batches(
            source, Batching(batch_size=2, canvas=(40, 80), max_boxes=1, max_errors=0)
        ),
        ground_truth=coco_ground_truth(readable(source), source.categories),
        categories=source.categories,
    )

    assert [result["image_id"] for result in results] == [0, 1, 2, 3, 4]
    boxes = np.array([result["bbox"] for result in results])
    np.testing.assert_allclose(boxes[::2], [[5, 9, 20, 20]] * 3, rtol=1e-6)
    np.testing.assert_allclose(boxes[1::2], [[5, 8, 20, 20]] * 2, rtol=1e-6)
    lying, standing = (2, 64, 96, 3), (2, 96, 64, 3)
    in_turn = [lying, standing, lying, standing, lying]
    assert shapes == ([lying, lying, standing] if known else in_turn)
    assert metrics["loss"] == 2.0
