"""Test-time augmentation: several views of an image, and what all of them show."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from fpn_jax.data.given_images import ImageLike, as_image
from fpn_jax.inference.merging import merged
from fpn_jax.inference.tiles import Each
from fpn_jax.results.result import Result

FLIP = "flip"
_MERGED_ABOVE = 0.5  # IoU of boxes of one object in two views; rather less than more


def parse_ways(given: str | Sequence[str | float]) -> tuple[str | float, ...]:
    """Returns the views of "flip,0.8,1.2": flipped, and scaled by these factors.

    They can be given one by one. Raises ValueError, one line, for anything else.
    """
    words = given.split(",") if isinstance(given, str) else map(str, given)
    ways: list[str | float] = []
    for part in filter(None, map(str.strip, words)):
        try:
            ways.append(part if part == FLIP else float(part))
        except ValueError:
            ways.append(0.0)
        if ways[-1] != FLIP and not 0.1 <= float(ways[-1]) <= 4:
            raise ValueError(
                f"tta: {part!r} given, must be 'flip' or a scale of 0.1 … 4"
            )
    return tuple(ways)


def augmented(
    each: Each,
    scaled: Sequence[Each],
    *,
    flip: bool,
    max_detections: int | None = None,
) -> Each:
    """Returns a function that looks at an image in several ways.

    Args:
        each: the detector.
        scaled: the detector on canvases of other sizes.
        flip: whether it also looks at the mirror image.
        max_detections: most of an image that are returned; None: all.

    Boxes of all views are merged by greedy suppression: the highest score of an object
    counts. Raises ValueError for a flip of a detector of keypoints, whose left and
    right are not known here.
    """

    def each_augmented(images: Iterable[ImageLike]) -> Iterator[Result]:
        # Each way reads the images at its own pace, so that they fill its batches.
        first, *others, last = itertools.tee(map(as_image, images), len(scaled) + 2)
        views = [each(first)]
        views += [way(copy) for way, copy in zip(scaled, others, strict=True)]
        if flip:
            views.append(map(_flipped_back, each(map(_mirrored, last))))
        else:
            del last  # nobody would read what it keeps
        for results in zip(*views, strict=True):
            parts = [result.detections for result in results]
            found = merged(
                parts, threshold=_MERGED_ABOVE, max_detections=max_detections
            )
            yield dataclasses.replace(results[0], detections=found)

    return each_augmented


def _mirrored(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


def _flipped_back(result: Result) -> Result:
    found, width = result.detections, result.size[1]
    if found.keypoints is not None:
        raise ValueError(
            "tta: keypoints have a left and a right, which a flip would exchange"
        )
    boxes = found.boxes[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = width - boxes[:, [0, 2]]
    found = found.replace(boxes=boxes)
    if found.masks is not None:
        found = found.replace(masks=found.masks[:, :, ::-1])
    return dataclasses.replace(result, detections=found)
