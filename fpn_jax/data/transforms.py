"""Changes to one example: `transform(example, rng) -> Example`.

A transform is a frozen dataclass, so that a configuration can hold, print and override
it and a worker process can receive it. All randomness comes from `rng`; a transform
without any ignores it. Images are resized bilinearly with half-pixel centres and no
antialiasing, the rule of torchvision's detection models.
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from fpn_jax.data.example import Example

Transform = Callable[[Example, np.random.Generator], Example]


@dataclasses.dataclass(frozen=True)
class HorizontalFlip:
    """The example, mirrored left to right with the given probability."""

    probability: float = 0.5

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.probability:
            return example
        width = example.image.shape[1]
        x1, y1, x2, y2 = example.boxes.T
        return dataclasses.replace(
            example,
            image=example.image[:, ::-1],
            boxes=np.column_stack([width - x2, y1, width - x1, y2]),
        )


@dataclasses.dataclass(frozen=True)
class ScaleJitter:
    """The example at a random size, cut to the canvas where it is larger.

    A scale of 1 fits the image into the canvas; what a smaller one leaves free becomes
    padding. Objects of which less than `min_visible` is left are dropped. With scales
    0.1 … 2 this is the large-scale jitter of "Simple Copy-Paste" (section 3.2).
    """

    canvas: tuple[int, int]  # height, width
    min_scale: float = 0.5
    max_scale: float = 2.0
    min_visible: float = 0.25  # share of a box's area

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        scale = fit_scale(example.image.shape, self.canvas)
        example = _scale(example, scale * rng.uniform(self.min_scale, self.max_scale))
        spare = np.maximum(np.subtract(example.image.shape[:2], self.canvas), 0)
        top, left = rng.integers(0, spare + 1)
        return _crop(example, top, left, self.canvas, self.min_visible)


@dataclasses.dataclass(frozen=True)
class FitCanvas:
    """The example at the largest size of its shape that the canvas holds."""

    canvas: tuple[int, int]  # height, width

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        del rng
        return _scale(example, fit_scale(example.image.shape, self.canvas))


def fit_scale(shape: tuple[int, ...], canvas: tuple[int, int]) -> float:
    """Returns the largest scale at which an image [H, W, …] fits into the canvas."""
    return min(canvas[0] / shape[0], canvas[1] / shape[1])


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """The image scaled; both sides are rounded down, to 1 pixel at least."""
    height, width = (max(1, int(side * scale)) for side in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    return cv2.resize(image, (width, height))


def to_canvas(
    example: Example, canvas: tuple[int, int], max_boxes: int
) -> dict[str, np.ndarray]:
    """Returns a row of a batch: the image in the canvas' upper left, G = `max_boxes`.

    Objects keep their order. Of more than G, the G largest are kept; crowd regions, of
    which no loss makes use, only where objects leave room. Boxes without area are left
    out: no anchor could learn them.

    Raises:
        ValueError: if the image is larger than the canvas.
    """
    height, width = example.image.shape[:2]
    if height > canvas[0] or width > canvas[1]:
        raise ValueError(
            f"canvas: {tuple(canvas)} is smaller than {example.name} with "
            f"({height}, {width}); end the transforms with one that fits it"
        )
    images = np.zeros((*canvas, 3), np.uint8)
    images[:height, :width] = example.image
    objects = _largest(example, max_boxes)
    num, padding = len(objects.labels), max_boxes - len(objects.labels)
    return {
        "images": images,
        "sizes": np.array([height, width], np.int32),
        "boxes": np.pad(objects.boxes, ((0, padding), (0, 0))),
        "labels": np.pad(objects.labels, (0, padding)),
        "valid": np.arange(max_boxes) < num,
        "crowd": np.pad(objects.crowd, (0, padding)),
        "image_ids": np.int64(example.image_id),
    }


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Returns [N], in square pixels; not the areas that annotations carry."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def _largest(example: Example, max_boxes: int) -> Example:
    sizes = box_areas(example.boxes)
    order = np.lexsort((-sizes, example.crowd))[:max_boxes]
    return example.select(np.sort(order[sizes[order] > 0]))


def _scale(example: Example, scale: float) -> Example:
    """The example resized; the true ratios of its sides may differ from `scale`."""
    image = resize(example.image, scale)
    (height, width), (new_height, new_width) = example.image.shape[:2], image.shape[:2]
    if (new_height, new_width) == (height, width):
        return example
    x, y = np.float32(new_width / width), np.float32(new_height / height)
    return dataclasses.replace(
        example,
        image=image,
        boxes=example.boxes * np.array([x, y, x, y]),
        areas=example.areas * (x * y),
    )


def _crop(
    example: Example, top: int, left: int, size: tuple[int, int], min_visible: float
) -> Example:
    """At most `size` from (top, left) on, with the objects that are still visible."""
    image = example.image[top : top + size[0], left : left + size[1]]
    shift = np.array([left, top, left, top], np.float32)
    height, width = image.shape[:2]
    bounds = np.array([width, height, width, height], np.float32)
    boxes = np.clip(example.boxes - shift, 0, bounds)
    before = box_areas(example.boxes)
    visible = box_areas(boxes) / np.maximum(before, np.float32(1e-6))
    cropped = dataclasses.replace(
        example, image=image, boxes=boxes, areas=example.areas * visible
    )
    return cropped.select(visible >= min_visible)
