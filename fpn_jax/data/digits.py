"""The embedded data set: handwritten digits of very different sizes on photographs.

Real scans (scikit-learn's 1,797 digits of 8x8) are drawn on crops of its two sample
photographs. A digit is 8 to 160 px tall, log-uniform, so that objects below 32², of
32² to 96² and above 96² px are all common: it exists to show what a pyramid is for.
Train and validation share no scan and no region of a photograph.

A digit has a box around its ink, a mask of the ink that no other digit covers, and
three keypoints: the upper end, the centre and the lower end of its stroke. Its area,
which makes it small, medium or large, is that of the box, also for masks: ink fills
about half of a box, and all figures are to speak of the same digits.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tensorflow_datasets as tfds

from fpn_jax.data.masks import encode_rle
from fpn_jax.data.scenes import (
    KEYPOINTS,
    MAX_OBJECTS,
    SCENE_SIZE,
    SPLITS,
    Scene,
    draw_scene,
    load_material,
)
from fpn_jax.runtime import cache_directory

_VERSION = "1.1.0"  # raise it when anything that is written changes
_JPEG_QUALITY = 95


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
        metadata=tfds.core.MetadataDict(keypoints=KEYPOINTS._asdict()),
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
    """The feature spec of TFDS `coco/2017`, with masks and keypoints."""
    objects = {
        "area": np.int64,
        "bbox": tfds.features.BBoxFeature(),
        "id": np.int64,
        "is_crowd": np.bool_,
        "keypoints": tfds.features.Tensor(
            shape=(len(KEYPOINTS.names), 3), dtype=np.float32
        ),
        "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
        # The counts of COCO's compressed run-length encoding, of the image's size.
        "segmentation": tfds.features.Text(),
    }
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "image/id": np.int64,
            "objects": tfds.features.Sequence(objects),
        }
    )


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
                "area": int(sides[place].prod()),
                "bbox": yxyx[place],
                "id": (MAX_OBJECTS * number) + place + 1,
                "is_crowd": False,
                "keypoints": scene.keypoints[place],
                "label": int(scene.labels[place]),
                "segmentation": encode_rle(scene.masks[place])["counts"],
            }
            for place in range(len(sides))
        ],
    }
