"""Batches for training and for evaluation, read ahead of the step.

What batch number k holds is a pure function of the source, the seed and k. Batches are
therefore the same however many threads or worker processes read them, processes share
an epoch without overlap, and the state of an iterator is one number. `batch` says what
a batch holds.
"""

import dataclasses
import functools
import logging
import sys

import numpy as np

from fpn_jax.data.batch import Batch, Row, blank, padded_sides, stack, to_canvas
from fpn_jax.data.batching import WHOLE, Batching, Share
from fpn_jax.data.example import Example, KeypointSpec, Source, UnreadableImage
from fpn_jax.data.excess import left_out, without_excess
from fpn_jax.data.order import Order, Stretch, one_pass
from fpn_jax.data.read_ahead import (
    EvaluationBatches,
    Problems,
    Reading,
    TrainingBatches,
)
from fpn_jax.data.transforms import FitCanvas, Transform, fits_turned, turned

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Changes:
    """The transforms of a training; the last one fits the image into the canvas."""

    transforms: tuple[Transform, ...] = ()  # in this order
    last: tuple[Transform, ...] = ()  # in their place from batch `last_from` on
    last_from: int = sys.maxsize

    def of_batch(self, number: int) -> tuple[Transform, ...]:
        """Returns the transforms of batch `number`."""
        return self.last if number >= self.last_from else self.transforms


def training_batches(
    source: Source,
    batching: Batching,
    *,
    changes: Changes = Changes(),
    group_by_aspect: bool = False,
    seed: int,
    share: Share = WHOLE,
    workers: int = 0,
) -> TrainingBatches:
    """Returns an endless iterator over shuffled batches; it can stop and resume.

    Every epoch is a new permutation; a batch may end one and begin the next. An image
    that cannot be decoded is named in a warning and replaced by the next one; one more
    of them than `batching` allows is a ValueError. Objects for which a batch has no
    room are counted in a warning and painted over, so that they are not background.

    Args:
        source: of the examples.
        batching: the form of the batches.
        changes: what happens to an example.
        group_by_aspect: whether images that the canvas holds larger when it is turned
            come in batches of their own, with a turned canvas. The rest of an epoch,
            fewer than two batches, is mixed on the canvas as it is. The source
            must know the sizes of its images.
        seed: of the order and of the changes.
        share: which part of each global batch to read.
        workers: processes that read; 0 reads in threads of this one.
    """
    batching.check(source)
    sizes = source.image_sizes if group_by_aspect else None
    if group_by_aspect and sizes is None:
        raise ValueError(
            f"group_by_aspect: {source.name} does not know the sizes of its images; "
            "`fpn-jax prepare` makes a data set that does"
        )
    order = Order(
        len(source),
        batching.batch_size * share.count,
        seed,
        turned=None if sizes is None else fits_turned(sizes, batching.canvas),
    )
    read = functools.partial(
        _read_training,
        source=source,
        batching=batching,
        share=share,
        order=order,
        changes=changes,
        seed=seed,
    )
    told = _told_what_is_left_out(source, batching)
    return TrainingBatches(
        read, workers, Problems(batching.max_errors, tells_crowded=not told)
    )


def evaluation_batches(
    source: Source, batching: Batching, share: Share = WHOLE
) -> EvaluationBatches:
    """Returns the batches of one pass; it may be iterated again.

    The canvas of an image depends on the image alone: as it is or turned, whichever
    holds the image larger, padded to multiples of 32. The images of a batch share it.
    If the source knows the sizes of its images, all images of one canvas come together,
    each kind in the order of the source. Otherwise the images come in that order, and
    where both canvases are needed a batch comes twice, once for each.

    All processes get equally many batches, on the same canvases. Rows behind the end,
    of images that cannot be decoded and of images on the other canvas have
    `example_valid` False and no boxes.

    Args:
        source: of the examples.
        batching: the form of the batches; one more unreadable image than it allows is a
            ValueError.
        share: which part of each global batch to read.
    """
    batching.check(source)
    sizes = source.image_sizes
    if sizes is None and batching.canvas[0] != batching.canvas[1]:
        _log.warning(
            "%s does not know the sizes of its images: batches of both canvases are "
            "evaluated twice; `fpn-jax prepare` makes a data set that does",
            source.name,
        )
    stretches = one_pass(
        len(source),
        batching.batch_size * share.count,
        turned=None if sizes is None else fits_turned(sizes, batching.canvas),
    )
    read = functools.partial(
        _read_evaluation,
        source=source,
        batching=batching,
        share=share,
        stretches=stretches,
    )
    told = _told_what_is_left_out(
        source, batching, "; the figures count them, the loss does not"
    )
    return EvaluationBatches(
        read, len(stretches), batching.max_errors, tells_crowded=not told
    )


def _told_what_is_left_out(source: Source, batching: Batching, means: str = "") -> bool:
    """Warns where a source knows of images with more objects than batches hold.

    `means` is the end of that line.
    """
    counts = source.object_counts()
    said = None if counts is None else left_out(counts[:, 0], batching.max_boxes)
    if said is not None:
        _log.warning("%s: %s%s", source.name, said, means)
    return said is not None


def _crowded(example: Example, max_boxes: int) -> list[str]:
    """Returns a message of an example that has more objects than a batch holds."""
    objects = int(np.sum(~example.crowd))
    if objects <= max_boxes:
        return []
    return [
        f"max_boxes is {max_boxes}: {objects - max_boxes} of the {objects} objects of "
        f"{example.name} are left out"
    ]


def _read_training(
    number: int,
    *,
    source: Source,
    batching: Batching,
    share: Share,
    order: Order,
    changes: Changes,
    seed: int,
) -> Reading:
    rows, unreadable, crowded = [], [], []
    transforms = changes.of_batch(number)
    if order.is_turned(number):
        batching = batching.turned()
        transforms = tuple(map(turned, transforms))
    start = number * order.batch_size
    positions = range(start, start + order.batch_size)[share.rows(batching.batch_size)]
    for position in positions:
        example = _first_readable(source, batching, order.index(position), unreadable)
        rng = np.random.default_rng((seed, 1, position))
        for transform in transforms:
            example = transform(example, rng)
        crowded += _crowded(example, batching.max_boxes)
        rows.append(_row(without_excess(example, batching.max_boxes), batching))
    batch = stack(rows)
    batch["example_valid"] = np.ones(len(rows), np.bool_)
    return Reading((batch,), unreadable, crowded)


def _read_evaluation(
    number: int,
    *,
    source: Source,
    batching: Batching,
    share: Share,
    stretches: list[Stretch],
) -> Reading:
    unreadable: list[str] = []
    indices, kind = stretches[number]
    examples = [
        _example_or_none(source, index, unreadable)
        for index in indices[share.rows(batching.batch_size)].tolist()
    ]
    examples += [None] * (batching.batch_size - len(examples))
    crowded = [m for e in examples if e for m in _crowded(e, batching.max_boxes)]
    groups = {kind: examples}
    if kind is None:
        groups = _by_canvas(examples, batching.canvas, all_ways=share.count > 1)
    batches = tuple(
        _evaluation_batch(
            group, batching.turned() if way else batching, source.keypoint_spec
        )
        for way, group in groups.items()
    )
    return Reading(batches, unreadable, crowded)


def _by_canvas(
    examples: list[Example | None], canvas: tuple[int, int], *, all_ways: bool
) -> dict[bool, list[Example | None]]:
    """The examples for the canvas as it is, and for the turned one, in their places.

    With `all_ways` also a group without any: several processes do not see each other's
    images, but must run the same programs. A square canvas has one way.
    """
    ways = [e and bool(fits_turned(e.image.shape[:2], canvas)) for e in examples]
    if all_ways and canvas[0] != canvas[1]:
        needed = [False, True]
    else:
        needed = [way for way in (False, True) if way in ways] or [False]
    return {
        way: [e if w is way else None for e, w in zip(examples, ways, strict=True)]
        for way in needed
    }


def _evaluation_batch(
    examples: list[Example | None],
    batching: Batching,
    keypoint_spec: KeypointSpec | None,
) -> Batch:
    """The batch of examples, which its canvas holds larger than the turned one."""
    empty = blank(batching.canvas, keypoint_spec)
    filled = [example or empty for example in examples]
    fit = FitCanvas(batching.canvas, batching.box_scale)
    rng = np.random.default_rng(0)  # draws nothing
    padded = dataclasses.replace(batching, canvas=padded_sides(batching.canvas))
    batch = stack([_row(fit(example, rng), padded) for example in filled])
    batch["example_valid"] = np.array([example is not None for example in examples])
    batch["image_sizes"] = np.array([e.image.shape[:2] for e in filled], np.int32)
    return batch


def _row(example: Example, batching: Batching) -> Row:
    return to_canvas(
        example,
        batching.canvas,
        batching.max_boxes,
        mask_size=batching.mask_size,
        keypoints=batching.keypoints,
    )


def _first_readable(
    source: Source, batching: Batching, index: int, unreadable: list[str]
) -> Example:
    """The first example from `index` on that can be decoded.

    Adds the messages of the others to `unreadable`. When these alone pass the limit the
    result is blank, and never seen: `Problems` stops the run.
    """
    for offset in range(batching.max_errors + 1):
        try:
            return source[(index + offset) % len(source)]
        except UnreadableImage as error:
            unreadable.append(str(error))
    return blank(batching.canvas, source.keypoint_spec)


def _example_or_none(
    source: Source, index: int, unreadable: list[str]
) -> Example | None:
    """The example of an evaluation row; None if it cannot be decoded."""
    try:
        return source[index]
    except UnreadableImage as error:
        unreadable.append(str(error))
        return None
