"""Any prepared TFDS directory with the features of `coco/2017` or `voc`, as a source.

Objects may have three more, which `tfds_writer.py` writes: `xyxy`, the box in pixels;
`segmentation`, the counts of COCO's compressed run-length encoding as text; and
`keypoints`, [P, 3]. Its `image/upright` says that the photograph was annotated as EXIF
turns it; without it the stored rows were annotated. `metadata.json` has the
fields of their `KeypointSpec` under `keypoints`, and under `category_ids` the id of
each label, unless labels are ids.

In `voc` an image's id is the number in its file name, and difficult objects are crowd,
as in `voc.py`.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from fpn_jax.data.bitmaps import decode_segmentations
from fpn_jax.data.defects import Defect
from fpn_jax.data.example import Category, Example, KeypointSpec
from fpn_jax.data.formats.image_rows import number_of
from fpn_jax.data.formats.tfds_slices import found_slices
from fpn_jax.data.formats.tfds_writer import IMAGE_SIZES
from fpn_jax.data.image import decode_annotated
from fpn_jax.data.transforms import box_areas


def is_tfds(path: epath.PathLike, split: str) -> bool:
    """Whether a path is a prepared TFDS directory."""
    return (epath.Path(path).expanduser() / "dataset_info.json").is_file()


def open_tfds(
    path: epath.PathLike,
    split: str,
    *,
    masks: bool = False,
    keypoints: bool = False,
    strict: bool = True,
) -> "TfdsSource":
    """The examples of a split, with its keypoints, asked for or not.

    Defects are always errors: the directory was written by a program.
    """
    return TfdsSource(epath.Path(path).expanduser(), split, masks=masks)


class TfdsSource:
    """Examples of one split of a prepared TFDS directory, without TensorFlow.

    The directory is the one that holds `dataset_info.json` and array_record files.
    The published `coco/2017` has neither the ids of the categories nor exact areas:
    COCO's numbers need the official annotations (`coco.py`), or a directory that
    `python -m fpn_jax.prepare` made of them.

    Args:
        directory: path of the prepared data set.
        split: name of a split, or a slice of one, such as `train[:1%]`.
        masks: whether examples have masks; to decode them takes time.

    Raises:
        ValueError: if there is no such data set or split, it has no masks, or one of
            its files is broken.
    """

    defects: Sequence[Defect] = ()  # anything wrong is an error

    def __init__(self, directory: epath.PathLike, split: str, *, masks: bool = False):
        if not is_tfds(directory, split):
            raise ValueError(
                f"directory: {directory} is no prepared TFDS data set, which has a "
                "dataset_info.json"
            )
        with _in_one_line(directory):
            builder: Any = tfds.builder_from_directory(directory)
        split = found_slices(split, builder.info.splits)
        skip: Any = tfds.decode.SkipDecoding  # its annotation has no constructor
        decoders = {"image": skip()}
        with _in_one_line(directory):
            self._records = builder.as_data_source(split, decoders=decoders)
            self.image_sizes = _image_sizes(epath.Path(directory), split, builder.info)
            of_records: Any = builder.info.features
            metadata = builder.info.metadata or {}
            self.keypoint_spec = _keypoint_spec(metadata)
        if "objects" not in of_records:
            raise ValueError(
                f"{directory}: no objects, has the features {', '.join(of_records)}"
            )
        features = of_records["objects"].feature
        if masks and "segmentation" not in features:
            raise ValueError(f"masks: {directory} has no segmentations")
        names = features["label"].names
        self.name = f"{builder.info.name}/{split}"
        ids = metadata.get("category_ids", range(len(names)))
        self.categories = tuple(map(Category, ids, names))
        self._directory = directory
        self._masks = masks

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Example:
        example = self.truth(index)
        height, width = example.size
        boxes = example.boxes.clip(0, np.array([width, height] * 2, np.float32))
        return replace(example, boxes=boxes)

    def truth(self, index: int) -> Example:
        """The same with boxes as they were annotated, which may reach out."""
        if not 0 <= index < len(self):  # array_record raises ValueError
            raise IndexError(f"{self.name} has {len(self)} examples, not {index}")
        with _in_one_line(f"{self._directory}, record {index + 1} of {self.name}"):
            record = self._records[index]
        name = _text(record["image/filename"])
        upright = bool(record.get("image/upright"))
        image, turn = decode_annotated(record["image"], name, upright=upright)
        height, width = image.shape[:2]
        objects = record["objects"]  # a dict of lists
        masks = keypoints = None
        if self._masks:
            size = [height, width]
            segmentations = [
                {"size": size, "counts": _text(counts)}
                for counts in objects["segmentation"]
            ]
            masks = decode_segmentations(segmentations, height, width)
        if self.keypoint_spec is not None:
            keypoints = np.asarray(objects["keypoints"], np.float32)
            keypoints = keypoints.reshape(-1, len(self.keypoint_spec.names), 3)
        if "xyxy" in objects:
            boxes = np.asarray(objects["xyxy"], np.float32).reshape(-1, 4)
        else:
            boxes = _pixel_boxes(objects["bbox"], height, width)
        image_id = record.get("image/id", number_of(PurePath(name).stem))
        crowd = objects["is_crowd" if "is_crowd" in objects else "is_difficult"]
        areas = objects["area"] if "area" in objects else box_areas(boxes)
        return Example(
            image_id=index if image_id is None else int(image_id),
            name=name,
            image=image,
            boxes=boxes,
            labels=np.asarray(objects["label"], np.int32),
            crowd=np.asarray(crowd, np.bool_),
            areas=np.asarray(areas, np.float32),
            masks=masks,
            keypoints=keypoints,
            keypoint_spec=self.keypoint_spec,
            turn=turn._replace(sure=True) if "image/upright" in record else turn,
        )

    def has_objects(self, *, keypoints: bool) -> None:
        """Nothing is known of a record before it is read."""

    def object_counts(self) -> None:
        """Nothing is known of a record before it is read."""


@contextlib.contextmanager
def _in_one_line(place: epath.PathLike) -> Iterator[None]:
    """Makes a ValueError that names the place of whatever error there is."""
    try:
        yield
    except Exception as error:  # TFDS lets through what its libraries come upon
        reason = " ".join(str(error).split())
        raise ValueError(f"{place}: not readable: {reason:.200}") from error


def _image_sizes(
    directory: epath.Path, split: str, info: tfds.core.DatasetInfo
) -> np.ndarray | None:
    """Height and width of the images of a split, or of a part; None: not written."""
    if not (directory / IMAGE_SIZES).exists():
        return None
    with (directory / IMAGE_SIZES).open("rb") as file:
        sizes = np.load(file)
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(info.splits)
        return np.concatenate([sizes[p.splitname][p.from_ : p.to] for p in parts])


def _keypoint_spec(metadata: Mapping) -> KeypointSpec | None:
    """Returns a `KeypointSpec` from its `_asdict` in JSON, which has no tuples."""
    if "keypoints" not in metadata:
        return None
    fields = metadata["keypoints"]
    sigmas = fields["sigmas"]
    return KeypointSpec(
        names=tuple(fields["names"]),
        flip=tuple(fields["flip"]),
        skeleton=tuple((start, end) for start, end in fields["skeleton"]),
        sigmas=None if sigmas is None else tuple(sigmas),
    )


def _pixel_boxes(bbox: list, height: int, width: int) -> np.ndarray:
    """TFDS's (ymin, xmin, ymax, xmax) in 0 … 1 as xyxy pixels, [N, 4]."""
    # No objects come as an array of shape [0].
    yxyx = np.asarray(bbox, np.float32).reshape(-1, 4)
    return yxyx[:, [1, 0, 3, 2]] * np.array([width, height, width, height], np.float32)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
