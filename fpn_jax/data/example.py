"""The one record type that every source yields, and what a source is.

Boxes are xyxy, float32, in pixels; labels are 0 … K-1. Other conventions (category
ids, xywh, normalized yxyx) are converted by the source that has them. Keypoints lie in
the coordinates of the boxes; COCO's are taken as its files have them, without the half
pixel that Detectron2 adds.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from fpn_jax.data.defects import Defect


class Category(NamedTuple):
    """A class of objects as its data set numbers and names it."""

    id: int
    name: str


class KeypointSpec(NamedTuple):
    """The P keypoints that every object of a data set may show."""

    names: tuple[str, ...]
    flip: tuple[int, ...]  # point i of a mirrored object is point flip[i] of the object
    skeleton: tuple[tuple[int, int], ...] = ()  # pairs of points to draw a line between
    sigmas: tuple[float, ...] | None = None  # of the OKS, where the data defines them


class Turn(NamedTuple):
    """The turn that EXIF asks for, and what became of it; see `orientation.py`."""

    orientation: int = 1  # EXIF's, 1 … 8: 1 asks for no turn
    applied: bool = False  # whether the pixels are upright, or as they are stored
    sure: bool = True  # whether the data set says which of both was annotated


class UnreadableImage(ValueError):
    """An image file that cannot be used; the message names it.

    It is no image, is cut off, or has another size than its data set states. A loader
    may skip such an example. Every other error means that the data set or the program
    is wrong, and must stop the run. `kind` is the doctor's name for the defect.
    """

    def __init__(self, message: str, kind: str = "image unreadable"):
        super().__init__(message)
        self.kind = kind


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """One image with its N objects; N may be 0.

    Masks and keypoints are None where the source has none, or was not asked for them.

    Raises:
        ValueError: if an array has another shape or type, a box or keypoint is not
            finite, a box has its corners in the wrong order, or a visibility is not
            0, 1 or 2. A box may have no area.
    """

    image_id: int
    name: str  # the image's file name, for messages
    image: np.ndarray  # [H, W, 3] uint8, RGB
    boxes: np.ndarray  # [N, 4] float32, xyxy, pixels
    labels: np.ndarray  # [N] int32, 0 … K-1
    crowd: np.ndarray  # [N] bool, a region of many objects
    areas: np.ndarray  # [N] float32, square pixels: decides small, medium or large
    masks: np.ndarray | None = None  # [N, H, W] bool
    keypoints: np.ndarray | None = (
        None  # [N, P, 3] float32: x, y, 0 none|1 hidden|2 seen
    )
    keypoint_spec: KeypointSpec | None = None  # says what the P are
    turn: Turn = Turn()  # of the image file

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        height, width = self.image.shape[:2]
        return height, width

    @property
    def xywh(self) -> np.ndarray:
        """The boxes as corner and sides, [N, 4] float64."""
        low, high = np.split(self.boxes.astype(np.float64), 2, axis=1)
        return np.concatenate([low, high - low], axis=1)

    @property
    def segmentations(self) -> list[dict] | None:
        """The masks as compressed run-length encodings."""
        if self.masks is None:
            return None
        from fpn_jax.data.bitmaps import encode_rle

        return [encode_rle(mask) for mask in self.masks]

    @property
    def num_keypoints(self) -> np.ndarray | None:
        """The number of annotated keypoints of each object, [N] int."""
        if self.keypoints is None:
            return None
        return (self.keypoints[..., 2] > 0).sum(axis=1)

    def __post_init__(self):
        num = len(self.boxes)
        _check(self, "image", np.uint8, (*self.image.shape[:2], 3))
        _check(self, "boxes", np.float32, (num, 4))
        _check(self, "labels", np.int32, (num,))
        _check(self, "crowd", np.bool_, (num,))
        _check(self, "areas", np.float32, (num,))
        ordered = (self.boxes[:, :2] <= self.boxes[:, 2:]).all(axis=1)  # False for NaN
        for index in np.flatnonzero(~ordered | ~np.isfinite(self.boxes).all(axis=1)):
            raise ValueError(
                f"boxes of {self.name}: row {index} is {self.boxes[index].tolist()}, "
                "must be finite with x1 <= x2 and y1 <= y2"
            )
        if num and self.labels.min() < 0:
            raise ValueError(
                f"labels of {self.name}: {self.labels.min()} found, must be >= 0"
            )
        if self.masks is not None:
            _check(self, "masks", np.bool_, (num, *self.image.shape[:2]))
        if self.keypoints is not None:
            _check_keypoints(self, self.keypoints)

    def select(self, rows: np.ndarray) -> "Example":
        """Returns the example with only the objects of `rows`, a mask or indices."""
        return dataclasses.replace(
            self,
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            crowd=self.crowd[rows],
            areas=self.areas[rows],
            masks=None if self.masks is None else self.masks[rows],
            keypoints=None if self.keypoints is None else self.keypoints[rows],
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """The N objects of an image as its annotations have them, without its pixels.

    `Example` has the same fields, and its boxes are cut to the image.
    """

    image_id: int
    name: str
    size: tuple[int, int]  # height, width
    xywh: np.ndarray  # [N, 4] float64, may reach out of the image
    labels: np.ndarray  # [N] int32, 0 … K-1
    crowd: np.ndarray  # [N] bool
    areas: np.ndarray  # [N] float64
    segmentations: list[dict] | None = None  # N compressed run-length encodings
    keypoints: np.ndarray | None = None  # [N, P, 3] float32
    num_keypoints: np.ndarray | None = None  # [N] int, the annotated ones


class Source(Protocol):
    """A data set: examples by index, in a fixed order.

    `categories[i]` is the category of label i. Worker processes receive a source by
    pickling. An image that cannot be decoded raises `UnreadableImage`.

    Facts of the images that are not known before these are read are None: a source of
    files and a table knows them, one that must read its records does not.
    """

    name: str
    categories: tuple[Category, ...]
    keypoint_spec: KeypointSpec | None  # None: the data set has no keypoints
    defects: Sequence[Defect]  # of rows that were left out, and notes
    image_sizes: np.ndarray | None  # [N, 2] heights and widths; None: not known

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...

    def truth(self, index: int) -> Example | Truth:
        """The objects that results are compared with.

        Sources with annotation files give these as they are, also of an image that
        cannot be decoded.
        """
        ...

    def has_objects(self, *, keypoints: bool) -> np.ndarray | None:
        """Says of every image whether it has an object that is no crowd, [N] bool.

        With `keypoints` only objects with an annotated keypoint count. None: not known.
        """
        ...

    def object_counts(self) -> np.ndarray | None:
        """Counts the objects and the crowd regions of every image, [N, 2] int.

        None: not known.
        """
        ...


def _check(example: Example, field: str, dtype: type, shape: tuple[int, ...]) -> None:
    array = getattr(example, field)
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{field} of {example.name}: {array.dtype} {list(array.shape)} given, "
            f"must be {np.dtype(dtype)} {list(shape)}"
        )


def _check_keypoints(example: Example, points: np.ndarray) -> None:
    spec = example.keypoint_spec
    num_points = points.shape[1] if spec is None else len(spec.names)
    _check(example, "keypoints", np.float32, (len(example.boxes), num_points, 3))
    right = np.isfinite(points).all(axis=2) & np.isin(points[..., 2], (0, 1, 2))
    for row, point in np.argwhere(~right):
        raise ValueError(
            f"keypoints of {example.name}: row {row}, point {point} is "
            f"{points[row, point].tolist()}, must be finite x, y and 0, 1 or 2"
        )
