"""The embedded data set: handwritten digits of very different sizes on photographs.

Real scans (scikit-learn's 1,797 digits of 8x8) are drawn on crops of its two sample
photographs. A digit is 8 to 160 px tall, log-uniform, so that objects below 32², of
32² to 96² and above 96² px are all common: it exists to show what a pyramid is for.
Train and validation share no scan and no region of a photograph.

A digit has a box around its ink, a mask of the ink that no other digit covers, and
three keypoints: the upper end, the center and the lower end of its stroke. Its area
makes it small, medium or large, and is the area of the box, also for masks: ink fills
about half of a box, and all figures are to speak of the same digits.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tensorflow_datasets as tfds

from fpn_jax.data.digits.scenes import (
    KEYPOINTS,
    SPLITS,
    Scene,
    draw_scene,
    load_material,
)
from fpn_jax.data.example import Category, Example
from fpn_jax.data.formats.tfds_slices import found_slices
from fpn_jax.data.formats.tfds_writer import write_tfds
from fpn_jax.data.transforms import box_areas
from fpn_jax.runtime import cache_directory

_VERSION = "1.3.0"  # raise it when anything that is written changes
_JPEG_QUALITY = 95


def prepare_digits(directory: str | Path | None = None) -> Path:
    """Returns the path of the prepared data set; the first use takes a minute.

    Args:
        directory: where data sets are kept; by default `$XDG_CACHE_HOME/fpn_jax`, or
            `~/.cache/fpn_jax`.
    """
    place = Path(directory or cache_directory()).expanduser() / "digits" / _VERSION
    if place.exists():
        return place
    print(f"preparing the digits in {place}, once: a minute", file=sys.stderr)
    place.parent.mkdir(parents=True, exist_ok=True)
    return write_digits(place, SPLITS)


def check_drawn(split: str) -> None:
    """Raises NoSuchSplit for a split or slice that the digits have not; draws none."""
    there = {
        name: tfds.core.SplitInfo(
            name=name, shard_lengths=[size], num_bytes=0, filename_template=None
        )
        for name, size in SPLITS.items()
    }
    found_slices(split, there)


def write_digits(directory: Path, splits: dict[str, int]) -> Path:
    """Writes the first scenes of each split as a prepared TFDS data set."""
    return write_tfds(
        directory,
        {split: _examples(split, size) for split, size in splits.items()},
        name="digits",
        version=_VERSION,
        description=__doc__ or "",
        categories=[Category(digit, str(digit)) for digit in range(10)],
        keypoint_spec=KEYPOINTS,
        masks=True,
    )


def _examples(split: str, size: int) -> Iterator[tuple[Example, bytes]]:
    material = load_material(split)
    for number in range(size):
        yield _example(draw_scene(material, split, number), split, number)


def _example(scene: Scene, split: str, number: int) -> tuple[Example, bytes]:
    bgr = cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    boxes = scene.boxes.astype(np.float32)
    example = Example(
        image_id=number,
        name=f"{split}-{number:06d}.jpg",
        image=scene.image,
        boxes=boxes,
        labels=scene.labels.astype(np.int32),
        crowd=np.zeros(len(boxes), np.bool_),
        areas=box_areas(boxes),
        masks=scene.masks,
        keypoints=scene.keypoints,
        keypoint_spec=KEYPOINTS,
    )
    return example, cv2.imencode(".jpg", bgr, quality)[1].tobytes()
