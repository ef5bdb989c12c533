"""Transforms that take further examples of the source into the one they are given.

They hold the source, and draw from it with the `rng` of the call. Files that cannot be
decoded are passed over: the loader names them when their turn comes.
"""

import dataclasses

import cv2
import numpy as np

from fpn_jax.data.bitmaps import mask_box
from fpn_jax.data.canvases import BoxScale
from fpn_jax.data.example import Example, Source, UnreadableImage
from fpn_jax.data.transforms import Transform, crop, fit_scale, scale

_GRAY = 114  # where there is no image, as in the code of YOLOv3 and its successors
_TRIES = 20  # unreadable images in a row before a draw gives up


@dataclasses.dataclass(frozen=True)
class Mosaic:
    """Four examples around a random point of a canvas of twice the size.

    The one given and three others, each as large as the canvas holds, meet in a point
    of the middle half; what lies beyond the border is cut off (YOLOv4: Bochkovskiy et
    al. 2020, section 3.3). An object is dropped if less than `min_visible` of it is
    left. A `ScaleJitter` behind it brings the result to the canvas: at scales of 1
    … 2 images have half their size to all of it. Masks are bitmaps of the whole.
    """

    source: Source
    canvas: tuple[int, int]  # height, width
    probability: float = 1.0
    min_visible: float = 0.25  # share of a box's area
    box_scale: BoxScale = "sides"

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.probability:
            return example
        size = 2 * self.canvas[0], 2 * self.canvas[1]
        y, x = (int(rng.uniform(side / 4, 3 * side / 4)) for side in size)
        parts = []
        for number in range(4):
            other = _random_example(self.source, rng) if number else example
            factor = fit_scale(other.image.shape, self.canvas)
            other = scale(other, factor, self.box_scale)
            height, width = other.image.shape[:2]
            # Upper left, upper right, lower left, lower right of the point.
            top = y if number >= 2 else y - height
            left = x if number % 2 else x - width
            cut, shift = (-min(top, 0), -min(left, 0)), (max(top, 0), max(left, 0))
            room = size[0] - shift[0], size[1] - shift[1]
            parts.append((crop(other, *cut, room, self.min_visible), shift))
        return _pasted(example, parts, size)


@dataclasses.dataclass(frozen=True)
class MixUp:
    """The mean of the example and another one, with the objects of both.

    The other goes through `transforms` before (mixup: Zhang et al. 2018; for detectors
    Zhang et al. 2019, section 3.1). Where only one of them has pixels the other is
    gray.
    """

    source: Source
    transforms: tuple[Transform, ...] = ()
    probability: float = 1.0

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.probability:
            return example
        other = _another(self.source, self.transforms, rng)
        shapes = example.image.shape[:2], other.image.shape[:2]
        size = tuple(map(max, *shapes))
        both = _pasted(example, [(example, (0, 0)), (other, (0, 0))], size)
        first, second = (_filled_up(each.image, size) for each in (example, other))
        return dataclasses.replace(
            both, image=cv2.addWeighted(first, 0.5, second, 0.5, 0)
        )


@dataclasses.dataclass(frozen=True)
class CopyPaste:
    """The example with some objects of another one on top, cut out by their masks.

    The other goes through `transforms` before; of its objects each is taken or not with
    equal chance, and keeps its place. Objects behind keep the masks, boxes and areas
    of their visible parts. An object is dropped if less than `min_visible` of it is
    left, and its covered keypoints become hidden (Ghiasi et al. 2021, section 3).
    Crowd regions are neither taken nor dropped. Both must have masks.
    """

    source: Source
    transforms: tuple[Transform, ...] = ()
    probability: float = 0.5
    min_visible: float = 0.25  # share of a mask's area

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.probability:
            return example
        other = _another(self.source, self.transforms, rng)
        taken = (rng.random(len(other.labels)) < 0.5) & ~other.crowd
        height, width = np.minimum(example.image.shape[:2], other.image.shape[:2])
        size = int(height), int(width)
        other = other.select(taken)
        pixels = _masks(other).sum(axis=(1, 2))
        other = crop(other, 0, 0, size, min_visible=0)
        kept = _masks(other).sum(axis=(1, 2))
        other = other.select((kept > 0) & (kept >= self.min_visible * pixels))
        over = np.zeros(example.image.shape[:2], np.bool_)
        over[:height, :width] = _masks(other).any(axis=0)
        image = example.image.copy()
        image[over] = other.image[over[:height, :width]]
        behind = _behind(example, over, self.min_visible)
        parts = [(behind, (0, 0)), (other, (0, 0))]
        both = _pasted(example, parts, example.image.shape[:2])
        return dataclasses.replace(both, image=image)


def _random_example(source: Source, rng: np.random.Generator) -> Example:
    """A random example of the source that can be decoded."""
    for _ in range(_TRIES - 1):
        try:
            return source[int(rng.integers(len(source)))]
        except UnreadableImage:
            pass
    return source[int(rng.integers(len(source)))]


def _another(
    source: Source, transforms: tuple[Transform, ...], rng: np.random.Generator
) -> Example:
    """A random example of the source behind the transforms."""
    example = _random_example(source, rng)
    for transform in transforms:
        example = transform(example, rng)
    return example


def _pasted(
    example: Example,
    parts: list[tuple[Example, tuple[int, int]]],
    size: tuple[int, int],
) -> Example:
    """The parts, each moved (down, right), on one gray image; named as `example`."""
    image = np.full((*size, 3), _GRAY, np.uint8)
    masks = []
    for part, (top, left) in parts:
        height, width = part.image.shape[:2]
        place = slice(top, top + height), slice(left, left + width)
        image[place] = part.image
        if part.masks is not None:
            moved = np.zeros((len(part.masks), *size), np.bool_)
            moved[:, *place] = part.masks
            masks.append(moved)
    boxes, keypoints = [], []
    for part, (top, left) in parts:
        boxes.append(part.boxes + np.array([left, top, left, top], np.float32))
        if part.keypoints is not None:
            keypoints.append(_moved(part.keypoints, (top, left)))
    return dataclasses.replace(
        example,
        image=image,
        boxes=np.concatenate(boxes),
        labels=np.concatenate([part.labels for part, _ in parts]),
        crowd=np.concatenate([part.crowd for part, _ in parts]),
        areas=np.concatenate([part.areas for part, _ in parts]),
        masks=np.concatenate(masks) if masks else None,
        keypoints=np.concatenate(keypoints) if keypoints else None,
    )


def _behind(example: Example, over: np.ndarray, min_visible: float) -> Example:
    """Returns the visible part of an example behind the pixels [H, W] that cover it."""
    masks = _masks(example) & ~over
    pixels = _masks(example).sum(axis=(1, 2))
    seen = masks.sum(axis=(1, 2)) / np.maximum(pixels, 1)
    touched = (seen < 1) & (pixels > 0) & ~example.crowd
    boxes = example.boxes.copy()
    for row in np.flatnonzero(touched & (seen > 0)):
        boxes[row] = mask_box(masks[row])
    keypoints = example.keypoints
    if keypoints is not None:
        keypoints = keypoints.copy()
        x, y = (keypoints[..., axis].astype(int) for axis in (0, 1))
        height, width = over.shape
        covered = over[y.clip(0, height - 1), x.clip(0, width - 1)]
        keypoints[covered & (keypoints[..., 2] == 2), 2] = 1
    behind = dataclasses.replace(
        example,
        boxes=boxes,
        areas=np.where(touched, example.areas * seen, example.areas).astype(np.float32),
        masks=np.where(example.crowd[:, None, None], _masks(example), masks),
        keypoints=keypoints,
    )
    return behind.select(~touched | (seen >= min_visible))


def _filled_up(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image with gray on its right and below it."""
    down, right = np.subtract(size, image.shape[:2]).tolist()
    return cv2.copyMakeBorder(
        image, 0, down, 0, right, cv2.BORDER_CONSTANT, value=(_GRAY,) * 3
    )


def _moved(keypoints: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """Keypoints moved (down, right); those that are not there stay 0, 0, 0."""
    down, right = shift
    moves = np.array([right, down, 0], np.float32)
    return keypoints + moves * (keypoints[..., 2:] > 0)


def _masks(example: Example) -> np.ndarray:
    if example.masks is None:
        raise ValueError(f"copy_paste: needs masks, but {example.name} has none")
    return example.masks
