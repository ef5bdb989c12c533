"""Changes to one example: `transform(example, rng) -> Example`.

A transform is a frozen dataclass, so that a configuration can hold, print and override
it and a worker process can receive it. All randomness comes from `rng`; a transform
without any ignores it. Images are resized bilinearly with half-pixel centers and no
antialiasing, the rule of torchvision's detection models. Masks and keypoints, where an
example has them, follow the boxes. What has to do with the canvas has it as its field
`canvas`, and transforms that others go through as `transforms`: `turned` knows these.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fpn_jax.data.bilinear import resized
from fpn_jax.data.bitmaps import resize_masks
from fpn_jax.data.canvases import BoxScale
from fpn_jax.data.example import Example

Transform = Callable[[Example, np.random.Generator], Example]


@dataclasses.dataclass(frozen=True)
class HorizontalFlip:
    """The example, mirrored left to right with the given probability.

    Left keypoints become right ones, as the example's `keypoint_spec` pairs them.
    """

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
            masks=None if example.masks is None else example.masks[:, :, ::-1],
            keypoints=_mirrored_keypoints(example, width),
        )


@dataclasses.dataclass(frozen=True)
class ScaleJitter:
    """The example at a random size, cut to the canvas where it is larger.

    A scale of 1 fits the image into the canvas; a smaller one leaves room for padding.
    Objects are dropped if less than `min_visible` of them is left, and keypoints if
    they are cut off. With scales 0.1 … 2 this is the large-scale jitter of "Simple
    Copy-Paste" (section 3.2).
    """

    canvas: tuple[int, int]  # height, width
    min_scale: float = 0.5
    max_scale: float = 2.0
    min_visible: float = 0.25  # share of a box's area
    box_scale: BoxScale = "sides"

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        fitting = fit_scale(example.image.shape, self.canvas)
        factor = fitting * rng.uniform(self.min_scale, self.max_scale)
        example = scale(example, factor, self.box_scale)
        spare = np.maximum(np.subtract(example.image.shape[:2], self.canvas), 0)
        top, left = rng.integers(0, spare + 1)
        return crop(example, top, left, self.canvas, self.min_visible)


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """A part of the example, of at least `min_share` of its height and of its width.

    Both sides are drawn alone, so the part has another ratio of them. Objects are
    dropped if less than `min_visible` of them is left, and keypoints if they are cut
    off.
    """

    probability: float = 0.5
    min_share: float = 0.3
    min_visible: float = 0.25  # share of a box's area

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.probability:
            return example
        shape = np.array(example.image.shape[:2])
        size = np.ceil(shape * rng.uniform(self.min_share, 1, size=2)).astype(int)
        top, left = rng.integers(0, shape - size + 1)
        return crop(example, top, left, tuple(size), self.min_visible)


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """The example in other brightness, contrast, saturation and hue.

    Each is drawn alone and evenly. The ranges come from SSD (Liu et al. 2016, section
    2.2), as torchvision's `RandomPhotometricDistort` has them.
    """

    probability: float = 0.5
    brightness: tuple[float, float] = (0.875, 1.125)  # factor of all values
    contrast: tuple[float, float] = (0.5, 1.5)  # of the distance from the mean gray
    saturation: tuple[float, float] = (0.5, 1.5)  # factor of HSV's
    hue: tuple[float, float] = (-0.05, 0.05)  # turns of the circle of colors

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() >= self.probability:
            return example
        brightness, contrast, saturation, hue = (
            rng.uniform(*limits)
            for limits in (self.brightness, self.contrast, self.saturation, self.hue)
        )
        import cv2

        mean = cv2.cvtColor(example.image, cv2.COLOR_RGB2GRAY).mean()
        levels = brightness * (mean + contrast * (np.arange(256) - mean))
        image = cv2.LUT(example.image, _to_bytes(levels))
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        # A hue has 256 steps around; the values of uint8 wrap as the circle does.
        table = np.stack(
            [
                (np.arange(256) + round(256 * hue)).astype(np.uint8),
                _to_bytes(saturation * np.arange(256)),
                np.arange(256, dtype=np.uint8),
            ],
            axis=-1,
        )
        image = cv2.cvtColor(cv2.LUT(hsv, table[None]), cv2.COLOR_HSV2RGB_FULL)
        return dataclasses.replace(example, image=image)


@dataclasses.dataclass(frozen=True)
class FitCanvas:
    """The example at the largest size that the canvas, upright or turned, holds."""

    canvas: tuple[int, int]  # height, width
    box_scale: BoxScale = "sides"

    def __call__(self, example: Example, rng: np.random.Generator) -> Example:
        del rng
        factor = fit_scale_either_way(example.image.shape, self.canvas)
        return scale(example, factor, self.box_scale)


def turned(transform: Transform) -> Transform:
    """Returns the transform for the canvas on its side, if it has to do with one."""
    changes = {
        "canvas": lambda canvas: canvas[::-1],
        "transforms": lambda transforms: tuple(map(turned, transforms)),
    }
    fields = vars(transform)
    changed = {name: changes[name](fields[name]) for name in changes if name in fields}
    same: Any = transform  # a dataclass
    return dataclasses.replace(same, **changed)


def fit_scale(shape: tuple[int, ...], canvas: tuple[int, ...]) -> float:
    """Returns the largest scale at which an image [H, W, …] fits into the canvas."""
    return min(canvas[0] / shape[0], canvas[1] / shape[1])


def fit_scale_either_way(shape: tuple[int, ...], canvas: tuple[int, int]) -> float:
    """Returns the largest scale at which an image fits the canvas, upright or turned.

    Of 800 x 1333 that is torchvision's rule: a shorter side of 800, or a longer of
    1333.
    """
    return max(fit_scale(shape, canvas), fit_scale(shape, canvas[::-1]))


def fits_turned(sizes: npt.ArrayLike, canvas: tuple[int, int]) -> np.ndarray:
    """Says of images of sizes [..., 2] whether the canvas holds them larger turned.

    Returns bool [...]; False where both ways are alike. It depends on the image alone.
    """
    upright, other = (
        np.divide(way, sizes).min(axis=-1) for way in (canvas, canvas[::-1])
    )
    return other > upright


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """The image scaled by OpenCV; both sides are rounded down, to 1 pixel at least.

    So all images come to the network in training, evaluation and use: uint8 [H, W, 3],
    or float32 where a caller has such pixels.
    """
    height, width = scaled_sides(image.shape, scale)
    if (height, width) == image.shape[:2]:
        return image
    return resized(image, height, width)


def resize_as_torch(image: np.ndarray, scale: float) -> np.ndarray:
    """A float32 image scaled as torch does it, to the last digit or two.

    For comparisons with torchvision alone: OpenCV is faster and more exact. Torch's
    places of the samples are float32 numbers, which moves a sample near pixel 1000 by
    up to 3e-5 px, and so a value by twenty times its rounding. A MobileNet makes 5e-4
    of a score of that.
    """
    height, width = scaled_sides(image.shape, scale)
    if (height, width) == image.shape[:2]:
        return image
    left, right, x = _neighbors(image.shape[1], width)
    image = _between(image[:, left], image[:, right], x[:, None])
    above, below, y = _neighbors(image.shape[0], height)
    image = _between(image[above], image[below], y[:, None, None])
    return image.astype(np.float32)


def scaled_sides(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    """Returns height and width of a scaled image, rounded down, 1 pixel at least."""
    height, width = (max(1, int(side * scale)) for side in shape[:2])
    return height, width


def fitted_size(
    shape: tuple[int, ...], canvas: tuple[int, int], box_scale: BoxScale
) -> tuple[float, float]:
    """Returns the height and width in the canvas by which boxes of an image scale.

    With "sides" they are whole pixels, with "common" the sides before rounding.
    """
    factor = fit_scale_either_way(shape, canvas)
    if box_scale == "common":
        return shape[0] * factor, shape[1] * factor
    return scaled_sides(shape, factor)


def scale(example: Example, factor: float, box_scale: BoxScale = "sides") -> Example:
    """Returns the example resized; the ratios of its sides may differ from `factor`."""
    image = resize(example.image, factor)
    (height, width), (new_height, new_width) = example.image.shape[:2], image.shape[:2]
    x, y = np.float32(new_width / width), np.float32(new_height / height)
    if box_scale == "common":
        x = y = np.float32(factor)
    if image is example.image and x == y == 1:
        return example
    return dataclasses.replace(
        example,
        image=image,
        boxes=example.boxes * np.array([x, y, x, y]),
        areas=example.areas * (x * y),
        masks=(
            None
            if example.masks is None
            else resize_masks(example.masks, new_height, new_width)
        ),
        keypoints=(
            None
            if example.keypoints is None
            else example.keypoints * np.array([x, y, 1], np.float32)
        ),
    )


def crop(
    example: Example, top: int, left: int, size: tuple[int, int], min_visible: float
) -> Example:
    """Returns at most `size` from (top, left) on, with the objects still visible there.

    An object is dropped if less than the share `min_visible` of its box is left.
    """
    image = example.image[top : top + size[0], left : left + size[1]]
    shift = np.array([left, top, left, top], np.float32)
    height, width = image.shape[:2]
    bounds = np.array([width, height, width, height], np.float32)
    boxes = np.clip(example.boxes - shift, 0, bounds)
    before = box_areas(example.boxes)
    visible = box_areas(boxes) / np.maximum(before, np.float32(1e-6))
    cropped = dataclasses.replace(
        example,
        image=image,
        boxes=boxes,
        areas=example.areas * visible,
        masks=(
            None
            if example.masks is None
            else example.masks[:, top : top + height, left : left + width]
        ),
        keypoints=_cropped_keypoints(example.keypoints, shift[:2], bounds[:2]),
    )
    return cropped.select(visible >= min_visible)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Returns [N], in square pixels; not the areas that annotations carry."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def _to_bytes(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _neighbors(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns between which two pixels each new one lies, and the weight of the second.

    Half-pixel centers; a fused multiply-add in float32, as torch computes them.
    """
    step = np.float64(np.float32(size / new_size))
    place = np.maximum(step * (np.arange(new_size) + 0.5) - 0.5, 0).astype(np.float32)
    first = place.astype(np.int32)
    return first, np.minimum(first + 1, size - 1), place - first


def _between(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return a + (b - a) * weight


def _cropped_keypoints(
    keypoints: np.ndarray | None, shift: np.ndarray, bounds: np.ndarray
) -> np.ndarray | None:
    """Keypoints moved by -shift; those out of bounds, or not there, are 0, 0, 0."""
    if keypoints is None:
        return None
    xy, visibility = keypoints[..., :2] - shift, keypoints[..., 2:]
    inside = ((xy >= 0) & (xy <= bounds)).all(axis=-1, keepdims=True)
    return np.concatenate([xy, visibility], axis=-1) * (inside & (visibility > 0))


def _mirrored_keypoints(example: Example, width: int) -> np.ndarray | None:
    if example.keypoints is None:
        return None
    if example.keypoint_spec is None:
        raise ValueError(
            f"keypoints of {example.name}: a flip needs their keypoint_spec, which "
            "says what is left and right"
        )
    x, y, visibility = np.moveaxis(example.keypoints, -1, 0)
    mirrored = np.stack([(width - x) * (visibility > 0), y, visibility], axis=-1)
    return mirrored[:, list(example.keypoint_spec.flip)]
