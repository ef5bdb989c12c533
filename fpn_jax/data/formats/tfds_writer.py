"""Writes a data set as a prepared TFDS directory, without TensorFlow or the network.

TFDS's sequential writer does it, not a builder class, because it keeps the order of the
numbers. The features are named as in `coco/2017`, with areas and boxes (`xyxy`) that
are not rounded, and with masks and keypoints where the data has them. A file beside
TFDS's own has the sizes of the images, which need not be read for them.
"""

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_info import DatasetIdentity

from fpn_jax.data.bitmaps import encode_rle
from fpn_jax.data.class_names import check_class_names
from fpn_jax.data.example import Category, Example, KeypointSpec

IMAGE_SIZES = "image_sizes.npz"  # of each split, [N, 2]: height, width


def write_tfds(
    directory: str | Path,
    splits: Mapping[str, Iterable[tuple[Example, bytes]]],
    *,
    name: str,
    version: str,
    description: str,
    categories: Sequence[Category],
    keypoint_spec: KeypointSpec | None,
    masks: bool,
) -> Path:
    """Returns the directory, whose parent must exist, once it is complete.

    Args:
        splits: of each the examples in their order, with the file of the image. Their
            boxes may reach out of it, for the figures; who reads them cuts them.
        masks: whether to write the masks, which the examples then have.

    A half-written data set is never seen: it is written beside its place and renamed.
    Of two processes that write at once, the first to finish wins.

    Raises:
        ValueError: for names of categories that cannot be told apart.
    """
    place = Path(directory)
    metadata: dict[str, Any] = {
        "category_ids": [category.id for category in categories]
    }
    if keypoint_spec is not None:
        metadata["keypoints"] = keypoint_spec._asdict()
    names = check_class_names(name, [category.name for category in categories])
    num_points = 0 if keypoint_spec is None else len(keypoint_spec.names)
    with tempfile.TemporaryDirectory(prefix=".", dir=place.parent) as workshop:
        made = Path(workshop) / version
        made.mkdir()
        info = tfds.core.DatasetInfo(
            builder=DatasetIdentity(
                name=name,
                version=tfds.core.Version(version),
                data_dir=str(made),
                module_name=__name__,
            ),
            description=description,
            features=_features(names, num_points, masks),
            metadata=tfds.core.MetadataDict(metadata),
        )
        writer = tfds.core.SequentialWriter(
            info, max_examples_per_shard=1000, file_format="array_record"
        )
        writer.initialize_splits(list(splits))
        sizes = {}
        for split, examples in splits.items():
            sizes[split] = []
            # One call: the writer rewrites its metadata at the end of each.
            records: Any = _records(examples, masks, sizes[split])
            writer.add_examples({split: records})
        writer.close_all()
        tables: dict[str, Any] = {s: np.array(x, np.int32) for s, x in sizes.items()}
        np.savez(made / IMAGE_SIZES, **tables)
        try:
            os.rename(made, place)
        except OSError:
            if not place.exists():  # where it does, another process was faster
                raise
    return place


def _features(
    names: Sequence[str], num_points: int, masks: bool
) -> tfds.features.FeaturesDict:
    objects = {
        "area": np.float32,
        "bbox": tfds.features.BBoxFeature(),
        "id": np.int64,
        "is_crowd": np.bool_,
        "label": tfds.features.ClassLabel(names=list(names)),
        # In pixels; `bbox` has shares of the image, from which pixels are rounded.
        "xyxy": tfds.features.Tensor(shape=(4,), dtype=np.float32),
    }
    if num_points:
        objects["keypoints"] = tfds.features.Tensor(
            shape=(num_points, 3), dtype=np.float32
        )
    if masks:
        # The counts of COCO's compressed run-length encoding, of the image's size.
        objects["segmentation"] = tfds.features.Text()
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "image/id": np.int64,
            # Whether the photograph was annotated as EXIF turns it.
            "image/upright": np.bool_,
            "objects": tfds.features.Sequence(objects),
        }
    )


def _records(
    examples: Iterable[tuple[Example, bytes]], masks: bool, sizes: list[tuple[int, int]]
) -> Iterator[dict]:
    """Yields what TFDS writes, and appends the sizes of the images."""
    numbers = itertools.count(1)
    for example, encoded in examples:
        height, width = example.image.shape[:2]
        sizes.append((height, width))
        shares = example.boxes / np.array([width, height, width, height], np.float32)
        shares = shares.clip(0, 1)
        bitmaps = example.masks if masks else None
        if masks and bitmaps is None:
            raise ValueError(f"masks: asked for, but {example.name} has none")
        objects = []
        for row in range(len(shares)):
            objects.append(
                {
                    "area": example.areas[row],
                    "bbox": shares[row, [1, 0, 3, 2]],
                    "id": next(numbers),
                    "is_crowd": example.crowd[row],
                    "label": example.labels[row],
                    "xyxy": example.boxes[row],
                }
            )
            if bitmaps is not None:
                objects[-1]["segmentation"] = encode_rle(bitmaps[row])["counts"]
            if example.keypoints is not None:
                objects[-1]["keypoints"] = example.keypoints[row]
        yield {
            "image": encoded,
            "image/filename": example.name,
            "image/id": example.image_id,
            "image/upright": example.turn.applied,
            "objects": objects,
        }
