"""The embedded data set: handwritten digits of very different sizes on photographs.

Real scans (scikit-learn's 1,797 digits of 8x8) are drawn on crops of its two sample
photographs. A digit is 8 to 160 px tall, log-uniform, so that objects below 32², of
32² to 96² and above 96² px are all common: it exists to show what a pyramid is for.
Train and validation share no scan and no region of a photograph.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits, load_sample_images

from fpn_jax.runtime import cache_directory

SCENE_SIZE = 320
SPLITS = {"train": 4000, "validation": 200}

_VERSION = "1.0.0"  # raise it when any pixel or box changes
_SEED = 1612_03144  # the FPN paper's number
_MAX_OBJECTS = 12
_EMPTY_SHARE = 0.05
_HEIGHTS = (8.0, 160.0)
_MAX_OVERLAP = 0.1  # of the smaller box
_JPEG_QUALITY = 95
# Blocks, not a draw: scikit-learn keeps the order of the writers.
_SCANS = {"train": slice(0, 1437), "validation": slice(1437, 1797)}
# Columns of the photographs, which are 640 wide.
_COLUMNS = {"train": slice(0, 384), "validation": slice(384, 640)}


class Material(NamedTuple):
    """What one split draws with."""

    scans: np.ndarray  # [S, 8, 8] float32, ink in 0 … 1
    labels: np.ndarray  # [S] int, the digit
    photographs: list[np.ndarray]  # [427, W, 3] uint8, RGB


class Scene(NamedTuple):
    """One drawn image with the tight boxes of its digits."""

    image: np.ndarray  # [320, 320, 3] uint8, RGB
    boxes: np.ndarray  # [N, 4] int, xyxy, pixels: where the ink is half opaque or more
    labels: np.ndarray  # [N] int, 0 … 9


def prepare_digits(directory: str | Path | None = None) -> Path:
    """Returns the path of the prepared data set; the first use takes half a minute.

    Args:
        directory: where data sets are kept; by default `$XDG_CACHE_HOME/fpn_jax`, or
            `~/.cache/fpn_jax`.

    A half-prepared data set is never seen: it is written beside its place and renamed.
    Of two processes that prepare at once, the first to finish wins.
    """
    place = Path(directory or cache_directory()).expanduser() / "digits" / _VERSION
    if place.exists():
        return place
    print(f"preparing the digits in {place}, once: half a minute", file=sys.stderr)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=place.parent) as workshop:
        write_digits(Path(workshop) / _VERSION, SPLITS)
        try:
            os.rename(Path(workshop) / _VERSION, place)
        except OSError:
            if not place.exists():  # where it does, another process was faster
                raise
    return place


def write_digits(directory: Path, splits: dict[str, int]) -> None:
    """Writes the first scenes of each split as a TFDS data set of array_record files.

    TFDS's sequential writer instead of a builder class, because it keeps the order of
    the numbers and needs neither TensorFlow nor the network.
    """
    directory.mkdir()
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity(
            name="digits",
            version=tfds.core.Version(_VERSION),
            data_dir=str(directory),
            module_name=__name__,
        ),
        description=__doc__,
        features=_features(),
    )
    writer = tfds.core.SequentialWriter(
        info, max_examples_per_shard=1000, file_format="array_record"
    )
    writer.initialize_splits(list(splits))
    for split, size in splits.items():
        # One call: the writer rewrites its metadata at the end of each.
        writer.add_examples({split: _records(split, size)})
    writer.close_all()


def _features() -> tfds.features.FeaturesDict:
    """The feature spec of TFDS `coco/2017`."""
    objects = {
        "area": np.int64,
        "bbox": tfds.features.BBoxFeature(),
        "id": np.int64,
        "is_crowd": np.bool_,
        "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
    }
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "image/id": np.int64,
            "objects": tfds.features.Sequence(objects),
        }
    )


def load_material(split: str) -> Material:
    """Returns the scans and photograph regions of a split."""
    digits = load_digits()
    scans = digits.images[_SCANS[split]].astype(np.float32)
    return Material(
        scans=scans / scans.max(axis=(1, 2), keepdims=True),
        labels=digits.target[_SCANS[split]],
        photographs=[p[:, _COLUMNS[split]] for p in load_sample_images().images],
    )


def draw_scene(material: Material, split: str, number: int) -> Scene:
    """Returns scene `number` of a split, the same whenever it is drawn."""
    rng = np.random.default_rng((_SEED, list(SPLITS).index(split), number))
    image = _background(material.photographs, rng)
    count = 0 if rng.random() < _EMPTY_SHARE else rng.integers(1, _MAX_OBJECTS + 1)
    # Large digits first: they are the hardest to place.
    heights = np.sort(np.exp(rng.uniform(*np.log(_HEIGHTS), count)))[::-1]
    boxes, labels = np.zeros((0, 4), np.int64), []
    for height in heights:
        scan = rng.integers(len(material.scans))
        opacity, ink_box = _glyph(material.scans[scan], height, rng)
        shift = _free_place(ink_box, boxes, rng)
        if shift is not None:
            _paint(image, opacity, shift, ink_box, rng)
            boxes = np.vstack([boxes, ink_box + np.tile(shift, 2)])
            labels.append(material.labels[scan])
    return Scene(np.rint(image).astype(np.uint8), boxes, np.asarray(labels, np.int64))


def _background(photographs: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A square crop of a photograph at scene size, mirrored at random; float32."""
    photograph = photographs[rng.integers(len(photographs))]
    side = rng.integers(128, 257)  # 256 is the width of the validation region
    top = rng.integers(photograph.shape[0] - side + 1)
    left = rng.integers(photograph.shape[1] - side + 1)
    crop = photograph[top : top + side, left : left + side]
    crop = crop[:, :: rng.choice([-1, 1])].astype(np.float32)
    return cv2.resize(crop, (SCENE_SIZE, SCENE_SIZE), interpolation=cv2.INTER_LINEAR)


def _glyph(
    scan: np.ndarray, height: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A scan's opacity when enlarged and distorted [n, n], and its ink box in there."""
    angle, shear = rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ [[1, shear], [0, 1]]
    matrix *= height / scan.shape[0]
    size = int(1.6 * height) + 6  # room for the rotated corners and the blur
    # The centre of the scan goes to the centre of the patch.
    offset = (size - 1) / 2 - matrix @ np.full(2, (scan.shape[0] - 1) / 2)
    affine = np.column_stack([matrix, offset])
    ink = cv2.warpAffine(scan, affine, (size, size), flags=cv2.INTER_CUBIC)
    # Strokes of an enlarged scan have wide grey flanks; this makes them edges.
    opacity = np.clip((ink - 0.25) / 0.3, 0, 1)
    sigma = rng.uniform(0.3, 0.3 + 0.01 * height)
    opacity = cv2.GaussianBlur(opacity, (0, 0), sigma)
    return opacity, _tight_box(opacity >= 0.5)


def _tight_box(mask: np.ndarray) -> np.ndarray:
    """The smallest xyxy box around the True pixels, [4] int."""
    xs, ys = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1])


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
    image: np.ndarray,
    opacity: np.ndarray,
    shift: np.ndarray,
    ink_box: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Blends a colour that contrasts with what is beneath the box into the image."""
    x1, y1, x2, y2 = ink_box + np.tile(shift, 2)
    beneath = image[y1:y2, x1:x2].mean()
    # Far from the brightness beneath: brighter or darker, where there is room for it.
    choices = [beneath - rng.uniform(90, 150), beneath + rng.uniform(90, 150)]
    choices = [value for value in choices if 0 <= value <= 255]
    brightness = rng.choice(choices) if choices else (255 if beneath < 128 else 0)
    colour = np.clip(brightness + rng.uniform(-40, 40, 3), 0, 255)
    size = len(opacity)
    left, top = np.maximum(shift, 0)
    right, bottom = np.minimum(shift + size, SCENE_SIZE)
    alpha = opacity[
        top - shift[1] : bottom - shift[1], left - shift[0] : right - shift[0]
    ]
    alpha = alpha[..., None] * np.float32(rng.uniform(0.85, 1.0))
    region = image[top:bottom, left:right]
    region += alpha * (colour.astype(np.float32) - region)


def _records(split: str, size: int) -> Iterator[dict]:
    material = load_material(split)
    for number in range(size):
        yield _record(draw_scene(material, split, number), split, number)


def _record(scene: Scene, split: str, number: int) -> dict:
    """A scene in the form of the feature spec."""
    bgr = cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    yxyx = scene.boxes[:, [1, 0, 3, 2]] / SCENE_SIZE
    sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
    return {
        "image": cv2.imencode(".jpg", bgr, quality)[1].tobytes(),
        "image/filename": f"{split}-{number:06d}.jpg",
        "image/id": number,
        "objects": [
            {
                "area": int(side.prod()),
                "bbox": box,
                "id": (_MAX_OBJECTS * number) + place + 1,
                "is_crowd": False,
                "label": int(label),
            }
            for place, (side, box, label) in enumerate(
                zip(sides, yxyx, scene.labels, strict=True)
            )
        ],
    }
