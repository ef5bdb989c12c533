"""The scenes of the embedded data set: handwritten digits drawn on photographs.

A digit is 8 to 160 px tall, log-uniform, so that objects below 32², of 32² to 96² and
above 96² px are all common: it exists to show what a pyramid is for. Train and
validation share no scan and no region of a photograph.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from sklearn.datasets import load_digits, load_sample_images

from fpn_jax.data.bitmaps import mask_box
from fpn_jax.data.digits.strokes import stroke_ends
from fpn_jax.data.example import KeypointSpec

SCENE_SIZE = 320
SPLITS = {"train": 4000, "validation": 200}
MAX_OBJECTS = 12
# The ends of the longest way through the ink, and the mean of the ink.
KEYPOINTS = KeypointSpec(
    names=("upper end", "center", "lower end"),
    flip=(0, 1, 2),
    skeleton=((0, 1), (1, 2)),
    sigmas=(0.05, 0.05, 0.05),  # between those of COCO: 0.025 of an eye, 0.107 of a hip
)

_SEED = 1612_03144  # the FPN paper's number
_EMPTY_SHARE = 0.05
_HEIGHTS = (8.0, 160.0)
_MAX_OVERLAP = 0.1  # of the smaller box
# Ink of a scan, 0 … 1, that becomes transparent, and what is added until it is opaque:
# strokes of an enlarged scan have wide gray flanks; this makes them edges.
_CLEAR, _FADE = 0.25, 0.3
# Blocks, not a draw: scikit-learn keeps the order of the writers.
_SCANS = {"train": slice(0, 1437), "validation": slice(1437, 1797)}
# Columns of the photographs, which are 640 wide.
_COLUMNS = {"train": slice(0, 384), "validation": slice(384, 640)}


class Material(NamedTuple):
    """The characters and photographs that one split draws with."""

    scans: np.ndarray  # [S, 8, 8] float32, ink in 0 … 1
    labels: np.ndarray  # [S] int, the digit
    ends: np.ndarray  # [S, 2, 2] int, x and y of the pixels where the stroke ends
    photographs: list[np.ndarray]  # [427, W, 3] uint8, RGB


class Scene(NamedTuple):
    """One drawn image and its digits; a digit may cover a little of earlier ones."""

    image: np.ndarray  # [320, 320, 3] uint8, RGB
    boxes: np.ndarray  # [N, 4] int, xyxy, pixels: tight around the ink, covered or not
    labels: np.ndarray  # [N] int, 0 … 9
    masks: np.ndarray  # [N, 320, 320] bool, the ink that no later digit covers
    keypoints: np.ndarray  # [N, 3, 3] float32: x, y, 1 covered | 2 seen; see KEYPOINTS


class _Glyph(NamedTuple):
    """A scan, enlarged and distorted on a patch of its own."""

    opacity: np.ndarray  # [n, n] float32
    ink: np.ndarray  # [n, n] bool, where it is half opaque or more
    box: np.ndarray  # [4] int, xyxy, tight around the ink
    affine: np.ndarray  # [2, 3], from pixels (x, y) of the scan to those of the patch


def load_material(split: str) -> Material:
    """Returns the scans and photograph regions of a split."""
    photographs: Any = load_sample_images()
    digits: Any = load_digits()  # a Bunch
    scans = digits.images[_SCANS[split]].astype(np.float32)
    scans /= scans.max(axis=(1, 2), keepdims=True)
    return Material(
        scans=scans,
        labels=digits.target[_SCANS[split]],
        ends=np.stack([stroke_ends(scan >= _CLEAR + _FADE / 2) for scan in scans]),
        photographs=[p[:, _COLUMNS[split]] for p in photographs.images],
    )


def draw_scene(material: Material, split: str, number: int) -> Scene:
    """Returns scene `number` of a split, the same whenever it is drawn."""
    rng = np.random.default_rng((_SEED, list(SPLITS).index(split), number))
    image = _background(material.photographs, rng)
    count = 0 if rng.random() < _EMPTY_SHARE else rng.integers(1, MAX_OBJECTS + 1)
    low, high = np.log(_HEIGHTS)
    # Large digits first: they are the hardest to place.
    heights = np.sort(np.exp(rng.uniform(low, high, count)))[::-1]
    boxes, labels, keypoints = np.zeros((0, 4), np.int64), [], []
    masks = np.zeros((count, SCENE_SIZE, SCENE_SIZE), np.bool_)
    for height in heights:
        scan = rng.integers(len(material.scans))
        glyph = _glyph(material.scans[scan], height, rng)
        shift = _free_place(glyph.box, boxes, rng)
        if shift is not None:
            _paint(image, glyph, shift, rng)
            boxes = np.vstack([boxes, glyph.box + np.tile(shift, 2)])
            _cover(masks[: len(boxes)], keypoints, glyph, shift)
            labels.append(material.labels[scan])
            keypoints.append(_keypoints(glyph, shift, material.ends[scan]))
    return Scene(
        image=np.rint(image).astype(np.uint8),
        boxes=boxes,
        labels=np.asarray(labels, np.int64),
        masks=masks[: len(boxes)],
        keypoints=np.reshape(keypoints, (-1, 3, 3)).astype(np.float32),
    )


def _background(photographs: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A square crop of a photograph at scene size, mirrored at random; float32."""
    photograph = photographs[rng.integers(len(photographs))]
    side = rng.integers(128, 257)  # 256 is the width of the validation region
    top = rng.integers(photograph.shape[0] - side + 1)
    left = rng.integers(photograph.shape[1] - side + 1)
    crop = photograph[top : top + side, left : left + side]
    crop = crop[:, :: rng.choice([-1, 1])].astype(np.float32)
    return cv2.resize(crop, (SCENE_SIZE, SCENE_SIZE), interpolation=cv2.INTER_LINEAR)


def _glyph(scan: np.ndarray, height: float, rng: np.random.Generator) -> _Glyph:
    angle, shear = rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ [[1, shear], [0, 1]]
    matrix *= height / scan.shape[0]
    size = int(1.6 * height) + 6  # room for the rotated corners and the blur
    # The center of the scan goes to the center of the patch.
    offset = (size - 1) / 2 - matrix @ np.full(2, (scan.shape[0] - 1) / 2)
    affine = np.column_stack([matrix, offset])
    ink = cv2.warpAffine(scan, affine, (size, size), flags=cv2.INTER_CUBIC)
    opacity = np.clip((ink - _CLEAR) / _FADE, 0, 1)
    sigma = rng.uniform(0.3, 0.3 + 0.01 * height)
    opacity = cv2.GaussianBlur(opacity, (0, 0), sigma)
    solid = opacity >= 0.5
    return _Glyph(opacity, solid, mask_box(solid), affine)


def _free_place(
    ink_box: np.ndarray, boxes: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """A random xy shift that keeps the box inside and clear of others, or None."""
    size = ink_box[2:] - ink_box[:2]
    for _ in range(30):
        corner = rng.integers(0, SCENE_SIZE - size + 1)
        low = np.maximum(corner, boxes[:, :2])
        high = np.minimum(corner + size, boxes[:, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        if np.all(shared <= _MAX_OVERLAP * np.minimum(areas, size.prod())):
            return corner - ink_box[:2]
    return None


def _paint(
    image: np.ndarray, glyph: _Glyph, shift: np.ndarray, rng: np.random.Generator
) -> None:
    """Blends a color into the image that contrasts with the pixels beneath the box."""
    x1, y1, x2, y2 = glyph.box + np.tile(shift, 2)
    beneath = image[y1:y2, x1:x2].mean()
    # Far from the brightness beneath: brighter or darker, where there is room for it.
    choices = [beneath - rng.uniform(90, 150), beneath + rng.uniform(90, 150)]
    choices = [value for value in choices if 0 <= value <= 255]
    brightness = rng.choice(choices) if choices else (255 if beneath < 128 else 0)
    color = np.clip(brightness + rng.uniform(-40, 40, 3), 0, 255)
    on_scene, on_patch = _windows(len(glyph.opacity), shift)
    alpha = glyph.opacity[on_patch] * np.float32(rng.uniform(0.85, 1.0))
    # One channel at a time: NumPy is slow where its innermost axis has three elements.
    for channel, value in enumerate(color.astype(np.float32)):
        region = image[on_scene][..., channel]
        region += alpha * (value - region)


def _windows(
    size: int, shift: np.ndarray
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of the scene under a shifted patch, then of the patch."""
    low, high = np.maximum(shift, 0), np.minimum(shift + size, SCENE_SIZE)
    (left, top), (right, bottom) = low, high
    x, y = shift
    return (
        (slice(top, bottom), slice(left, right)),
        (slice(top - y, bottom - y), slice(left - x, right - x)),
    )


def _keypoints(glyph: _Glyph, shift: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The keypoints of a digit that nothing covers yet, [3, 3] float64."""
    ys, xs = np.nonzero(glyph.ink)
    # The blur may have taken the ink from under an end: the nearest pixel left.
    ends = ends @ glyph.affine[:, :2].T + glyph.affine[:, 2]
    nearest = [((xs - x) ** 2 + (ys - y) ** 2).argmin() for x, y in ends]
    upper, lower = sorted(((xs[k], ys[k]) for k in nearest), key=lambda end: end[1])
    points = np.stack([upper, (xs.mean(), ys.mean()), lower]) + shift + 0.5
    return np.column_stack([points, np.full(3, 2)])


def _cover(
    masks: np.ndarray, keypoints: list[np.ndarray], glyph: _Glyph, shift: np.ndarray
) -> None:
    """Inks the last of the masks, and takes from the digits before what it covers."""
    on_scene, on_patch = _windows(len(glyph.ink), shift)
    *before, own = masks
    own[on_scene] = glyph.ink[on_patch]
    for mask in before:
        mask[on_scene] &= ~own[on_scene]
    for points in keypoints:
        x, y = points[:, :2].astype(int).T
        points[own[y, x], 2] = 1
