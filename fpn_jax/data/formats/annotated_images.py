"""Images in a folder with annotations in COCO's form, as a source."""

import logging
from collections.abc import Sequence

import numpy as np

from fpn_jax.data.bitmaps import decode_segmentations
from fpn_jax.data.defects import Defect
from fpn_jax.data.example import Example, UnreadableImage
from fpn_jax.data.formats.annotations import Objects, read_annotations, stop_if_any
from fpn_jax.data.formats.folder import Archive, Folder
from fpn_jax.data.image import decode_image

_log = logging.getLogger(__name__)


class AnnotatedImages:
    """Examples in the order of the images of `content`.

    Labels follow the order of the category ids: COCO's 1 … 90 become 0 … 79. Boxes
    become xyxy; what lies outside of the image is cut off, and counted in a warning.
    Areas come from the annotations, where these have them. Images without objects
    are kept. Examples have keypoints where categories name some, which must be the same
    in all that do; points whose names differ in `left` and `right` are a pair.

    Args:
        name: of the data set, for messages: the path of the annotations.
        content: the dictionary of a COCO annotation file.
        folder: of the images.
        masks: whether examples have masks, which all annotations must then have; to
            decode them takes time.
        strict: whether a defect of the annotations is an error. If not, what has one
            is left out and `defects` lists it, and the boxes that were cut.

    Raises:
        ValueError: if annotations are wrong: unknown or repeated ids, boxes not finite,
            of negative size or outside of the image, segmentations or keypoints of
            another form. One line counts the problems and names the first.
    """

    def __init__(
        self,
        name: str,
        content: object,
        folder: Folder | Archive,
        *,
        masks: bool,
        strict: bool = True,
    ):
        annotations = read_annotations(name, content, masks=masks)
        if strict:
            stop_if_any(name, annotations.defects)
            _warn_of_cut_boxes(name, annotations.cut)
        self.name = name
        self.categories = annotations.categories
        self.keypoint_spec = annotations.keypoint_spec
        self.defects: Sequence[Defect] = annotations.defects + annotations.cut
        sizes = [(row["height"], row["width"]) for row in annotations.images]
        # Those of files that a table names but nobody can read are not known.
        known = np.array([(h or 1, w or 1) for h, w in sizes], np.int32)
        self.image_sizes: np.ndarray | None = known.reshape(-1, 2)
        self._images = annotations.images
        self._objects = annotations.objects
        self._masks = masks
        self._folder = folder

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        return self.with_file(index)[0]

    def with_file(self, index: int) -> tuple[Example, bytes]:
        """Returns an example, and the file of its image as it is."""
        row = self._images[index]
        where = f"{self._folder}/{row['file_name']}"
        try:
            data = self._folder.read(row["file_name"])
        except OSError as error:
            reason = error.strerror or error
            raise UnreadableImage(f"{where}: {reason}") from error
        image = decode_image(data, where)
        if image.shape[:2] != (row["height"], row["width"]):
            raise ValueError(
                f"{where}: the file is {image.shape[1]} x {image.shape[0]} pixels, "
                f"{self.name} says {row['width']} x {row['height']}"
            )
        objects = self._objects[row["id"]]
        example = Example(
            image_id=row["id"],
            name=row["file_name"],
            image=image,
            boxes=objects.boxes,
            labels=objects.labels,
            crowd=objects.crowd,
            areas=objects.areas,
            masks=self._bitmaps(row, objects) if self._masks else None,
            keypoints=objects.keypoints,
            keypoint_spec=self.keypoint_spec,
        )
        return example, data

    def object_counts(self) -> np.ndarray:
        """Counts the objects and the crowd regions of every image, [N, 2] int."""
        crowds = [self._objects[row["id"]].crowd for row in self._images]
        counts = [(np.sum(~crowd), np.sum(crowd)) for crowd in crowds]
        return np.array(counts, np.int64).reshape(-1, 2)

    def has_objects(self, *, keypoints: bool) -> np.ndarray:
        """Says of every image whether it has an object that is no crowd, [N] bool.

        With `keypoints` only objects with an annotated keypoint count.
        """
        found = []
        for row in self._images:
            objects = self._objects[row["id"]]
            chosen = ~objects.crowd
            if keypoints:
                points = objects.keypoints
                chosen &= points is not None and (points[..., 2] > 0).any(axis=1)
            found.append(chosen.any())
        return np.array(found, np.bool_)

    def _bitmaps(self, image: dict, objects: Objects) -> np.ndarray:
        height, width = image["height"], image["width"]
        try:
            return decode_segmentations(objects.segmentations, height, width)
        except ValueError as error:
            raise ValueError(f"{self.name}: {image['file_name']}: {error}") from error


def _warn_of_cut_boxes(name: str, cut: list[Defect]) -> None:
    if cut:
        _log.warning(
            "%s: %d boxes reach out of their image and were cut; the first: %s",
            *(name, len(cut), cut[0].place),
        )
