"""Batches for training and for evaluation, read ahead of the step.

What batch number k holds is a pure function of the source, the seed and k. Batches are
therefore the same however many threads or worker processes read them, processes share
an epoch without overlap, and the state of an iterator is one number. `batch` says what
a batch holds.
"""

import dataclasses
import functools
import sys
from collections.abc import Sequence

import numpy as np

from fpn_jax.data.batch import Row, blank, common_canvas, stack, to_canvas
from fpn_jax.data.example import Example, Source, UnreadableImage
from fpn_jax.data.order import Order
from fpn_jax.data.read_ahead import EvaluationBatches, Reading, TrainingBatches
from fpn_jax.data.transforms import FitCanvas, Transform, turned


def training_batches(
    source: Source,
    *,
    batch_size: int,
    canvas: tuple[int, int],
    max_boxes: int,
    mask_size: int | None = None,
    keypoints: bool = False,
    transforms: Sequence[Transform] = (),
    last_transforms: Sequence[Transform] | None = None,
    last_from: int = sys.maxsize,
    group_by_aspect: bool = False,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    workers: int = 0,
    max_errors: int,
) -> TrainingBatches:
    """Returns an endless iterator over shuffled batches; it can stop and resume.

    Every epoch is a new permutation; a batch may end one and begin the next. An image
    that cannot be decoded is named in a warning and replaced by the next one.

    Args:
        batch_size: examples per process.
        canvas: height and width; the last transform must make every image fit.
        max_boxes: of an image with more, the largest are kept, crowd regions last.
        mask_size: side of the masks, which the source must have; by default none.
        keypoints: whether to give keypoints, which the source must have.
        transforms: applied in this order.
        last_transforms: in their place from batch number `last_from` on.
        group_by_aspect: whether images that the canvas holds larger when it is turned
            come in batches of their own, with a turned canvas; what is left over of an
            epoch, fewer than two batches, is mixed on the canvas as it is. The source
            must know the sizes of its images.
        process_index: which of `process_count` shares of each global batch to read.
        workers: processes that read; 0 reads in threads of this one.
        max_errors: this many different unreadable images are skipped; one more is a
            ValueError.
    """
    plan = _Plan(
        source=source,
        batch_size=batch_size,
        canvas=canvas,
        max_boxes=max_boxes,
        mask_size=mask_size,
        keypoints=keypoints,
        process_index=process_index,
        process_count=process_count,
        max_errors=max_errors,
    )
    last = transforms if last_transforms is None else last_transforms
    order = Order(
        len(source),
        batch_size * process_count,
        seed,
        upright=_upright(source, canvas) if group_by_aspect else None,
    )
    read = functools.partial(
        _read_training,
        plan=plan,
        order=order,
        transforms=(tuple(transforms), tuple(last)),
        last_from=last_from,
        seed=seed,
    )
    return TrainingBatches(read, workers, max_errors)


def evaluation_batches(
    source: Source,
    *,
    batch_size: int,
    canvas: tuple[int, int],
    max_boxes: int,
    mask_size: int | None = None,
    keypoints: bool = False,
    process_index: int = 0,
    process_count: int = 1,
    max_errors: int,
) -> EvaluationBatches:
    """Returns the batches of one pass, in the order of the source; they have a `len`.

    All processes get equally many batches. Rows behind the end of the source and images
    that cannot be decoded have `example_valid` False and no boxes.

    Images fit the canvas upright or turned; a batch has it as its images need it, or a
    square of its longer side, rounded up to multiples of 32.

    Args:
        batch_size: examples per process.
        mask_size: side of the masks, which the source must have; by default none.
        keypoints: whether to give keypoints, which the source must have.
        max_errors: this many unreadable images are skipped; one more is a ValueError.
    """
    plan = _Plan(
        source=source,
        batch_size=batch_size,
        canvas=canvas,
        max_boxes=max_boxes,
        mask_size=mask_size,
        keypoints=keypoints,
        process_index=process_index,
        process_count=process_count,
        max_errors=max_errors,
    )
    read = functools.partial(_read_evaluation, plan=plan)
    num_batches = -(-len(source) // (batch_size * process_count))
    return EvaluationBatches(read, num_batches, max_errors)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What every batch of a run has in common."""

    source: Source
    batch_size: int
    canvas: tuple[int, int]
    max_boxes: int
    mask_size: int | None
    keypoints: bool
    process_index: int
    process_count: int
    max_errors: int

    def __post_init__(self):
        if not len(self.source):
            raise ValueError(f"source: {self.source.name} has no examples")
        for name in ("batch_size", "max_boxes", "process_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} given, must be >= 1")
        if not 0 <= self.process_index < self.process_count:
            raise ValueError(
                f"process_index: {self.process_index} given, must be 0 … "
                f"{self.process_count - 1}"
            )
        if self.mask_size is not None and self.mask_size < 1:
            raise ValueError(f"mask_size: {self.mask_size} given, must be >= 1")
        if self.keypoints and self.source.keypoint_spec is None:
            raise ValueError(f"keypoints: {self.source.name} has none")

    def positions(self, number: int) -> range:
        """Returns the places of batch `number` in the endless sequence of examples."""
        start = (number * self.process_count + self.process_index) * self.batch_size
        return range(start, start + self.batch_size)

    def row(self, example: Example) -> Row:
        """Returns the example as a row of a batch."""
        return to_canvas(
            example,
            self.canvas,
            self.max_boxes,
            mask_size=self.mask_size,
            keypoints=self.keypoints,
        )

    def blank(self) -> Example:
        """Returns what stands for an example that is not there."""
        return blank(self.canvas, self.source.keypoint_spec)


def _read_training(
    number: int,
    *,
    plan: _Plan,
    order: Order,
    transforms: tuple[tuple[Transform, ...], tuple[Transform, ...]],
    last_from: int,
    seed: int,
) -> Reading:
    rows, unreadable, crowded = [], [], []
    changes = transforms[number >= last_from]
    if order.is_upright(number):
        plan = dataclasses.replace(plan, canvas=plan.canvas[::-1])
        changes = [turned(transform) for transform in changes]
    for position in plan.positions(number):
        example = _first_readable(plan, order.index(position), unreadable)
        rng = np.random.default_rng((seed, 1, position))
        for transform in changes:
            example = transform(example, rng)
        if len(example.labels) > plan.max_boxes:
            crowded.append(example.name)
        rows.append(plan.row(example))
    batch = stack(rows)
    batch["example_valid"] = np.ones(len(rows), np.bool_)
    return Reading(batch, unreadable, crowded)


def _read_evaluation(number: int, *, plan: _Plan) -> Reading:
    examples, valid, scales, unreadable, crowded = [], [], [], [], []
    fit = FitCanvas(plan.canvas)
    rng = np.random.default_rng(0)  # fitting draws nothing from it
    for position in plan.positions(number):
        example = _example_or_none(plan.source, position, unreadable)
        valid.append(example is not None)
        example = example or plan.blank()
        fitted = fit(example, rng)
        scales.append(np.divide(fitted.image.shape[1::-1], example.image.shape[1::-1]))
        if len(fitted.labels) > plan.max_boxes:
            crowded.append(example.name)
        examples.append(fitted)
    # Several processes do not see each other's images but share a program.
    alone = plan.process_count == 1
    plan = dataclasses.replace(
        plan, canvas=common_canvas(examples, plan.canvas, square=not alone)
    )
    batch = stack([plan.row(example) for example in examples])
    batch["example_valid"] = np.array(valid)
    batch["scales"] = np.array(scales, np.float32)
    return Reading(batch, unreadable, crowded)


def _upright(source: Source, canvas: tuple[int, int]) -> np.ndarray:
    """Says of every image whether the turned canvas holds it larger, [len(source)]."""
    sizes = getattr(source, "image_sizes", None)
    if sizes is None:
        raise ValueError(
            f"group_by_aspect: {source.name} does not know the sizes of its images; "
            "`python -m fpn_jax.prepare` makes a data set that does"
        )
    scales = [np.divide(each, sizes).min(axis=1) for each in (canvas, canvas[::-1])]
    return scales[1] > scales[0]


def _first_readable(plan: _Plan, index: int, unreadable: list[str]) -> Example:
    """The first example from `index` on that can be decoded.

    Adds the messages of the others to `unreadable`. When these alone pass the limit the
    result is blank, and never seen: `Problems` stops the run.
    """
    for offset in range(plan.max_errors + 1):
        try:
            return plan.source[(index + offset) % len(plan.source)]
        except UnreadableImage as error:
            unreadable.append(str(error))
    return plan.blank()


def _example_or_none(
    source: Source, position: int, unreadable: list[str]
) -> Example | None:
    """The example of an evaluation row; None behind the end or if unreadable."""
    if position >= len(source):
        return None
    try:
        return source[position]
    except UnreadableImage as error:
        unreadable.append(str(error))
        return None
