"""Images in a folder with annotations in COCO's form, as a source."""

import functools
import logging
from collections.abc import Sequence

import numpy as np

from fpn_jax.data.bitmaps import decode_segmentations
from fpn_jax.data.defects import Defect
from fpn_jax.data.example import Example, Truth, UnreadableImage
from fpn_jax.data.formats.annotation_problems import HALF_A_PIXEL, Tolerance
from fpn_jax.data.formats.annotations import (
    Objects,
    read_annotations,
    stop_if_any,
    truth_of,
)
from fpn_jax.data.formats.file_names import by_any_spelling, is_any_there
from fpn_jax.data.formats.folder import Archive, Folder
from fpn_jax.data.image import decode_annotated
from fpn_jax.data.image_file import read_header
from fpn_jax.data.orientation import choose_turn, size_text

_log = logging.getLogger(__name__)

_LOOKED_AT = 32  # images whose headers are read at the start: few milliseconds


class AnnotatedImages:
    """Examples in the order of the images of `content`.

    Labels follow the order of the category ids: COCO's 1 … 90 become 0 … 79. Boxes
    become xyxy; what lies outside of the image is cut off, and counted in a warning.
    Areas come from the annotations; where these have none, from the masks if examples
    have them, and otherwise from the boxes. Images without objects are kept. The size
    of an image that the annotations do not give is read from its file. Examples have
    keypoints where categories name some, which must be the same in all that do;
    `mirrored_points` says which of them are a pair.

    Args:
        name: of the data set, for messages: the path of the annotations.
        content: the dictionary of a COCO annotation file.
        folder: of the images.
        masks: whether examples have masks, which all annotations must then have; to
            decode them takes time.
        strict: whether a defect of the annotations is an error. If not, what has one
            is left out and `defects` lists it, and the boxes that were cut.
        tolerance: how far boxes may reach out of their image by rounding.
        defects: what was left out of `content` when it was made, and notes.

    Raises:
        ValueError: if annotations are wrong: unknown or repeated ids, boxes not finite,
            of negative size or outside of the image, segmentations or keypoints of
            another form; or if half of the images that are looked at have another size
            than stated. One line counts the problems and names the first.
    """

    def __init__(
        self,
        name: str,
        content: object,
        folder: Folder | Archive,
        *,
        masks: bool,
        strict: bool = True,
        tolerance: Tolerance = HALF_A_PIXEL,
        defects: Sequence[Defect] = (),
    ):
        annotations = read_annotations(
            name,
            content,
            masks=masks,
            measure=functools.partial(_size_of_file, folder),
            tolerance=tolerance,
        )
        found = [*defects, *annotations.defects]
        found += _none_is_there(annotations.images, folder)
        if strict:
            stop_if_any(name, [one for one in found if not one.note])
            _log_notes(name, found)
            _stop_if_sizes_differ(name, annotations.images, folder)
            _warn_of_cut_boxes(name, annotations.cut)
        self.name = name
        self.categories = annotations.categories
        self.keypoint_spec = annotations.keypoint_spec
        self.defects: Sequence[Defect] = found + annotations.cut + annotations.notes
        sizes = [(row["height"], row["width"]) for row in annotations.images]
        # Sizes of unreadable files are not known where the annotations state none.
        known = np.array([(h or 1, w or 1) for h, w in sizes], np.int32)
        self._sizes = known.reshape(-1, 2)
        self.image_sizes: np.ndarray | None = self._sizes
        self._images = annotations.images
        self._objects = annotations.objects
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
            data = by_any_spelling(row["file_name"], self._folder.read)
        except OSError as error:
            reason = error.strerror or error
            raise UnreadableImage(f"{where}: {reason}") from error
        size = row["height"], row["width"]
        known = None not in size
        image, turn = decode_annotated(
            data,
            where,
            upright=row.get("upright"),
            stated=size if known else None,
            source=self.name,
        )
        if not known:
            raise UnreadableImage(
                f"{where}: was unreadable when {self.name} was opened"
            )
        objects = self._objects[row["id"]]
        masks = self._bitmaps(row, objects)
        points = objects.keypoints
        example = Example(
            image_id=row["id"],
            name=row["file_name"],
            image=image,
            boxes=objects.boxes,
            labels=objects.labels,
            crowd=objects.crowd,
            areas=objects.areas_of(masks),
            masks=masks,
            keypoints=None if points is None else points.astype(np.float32),
            keypoint_spec=self.keypoint_spec,
            turn=turn,
        )
        return example, data

    def truth(self, index: int) -> Truth:
        """The objects of an image, readable or not, as its annotations have them."""
        row = self._images[index]
        height, width = self._sizes[index].tolist()
        return truth_of(row, (height, width), self._objects[row["id"]])

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

    def _bitmaps(self, image: dict, objects: Objects) -> np.ndarray | None:
        if objects.segmentations is None:
            return None
        height, width = image["height"], image["width"]
        try:
            return decode_segmentations(objects.segmentations, height, width)
        except ValueError as error:
            raise ValueError(f"{self.name}: {image['file_name']}: {error}") from error


def _size_of_file(folder: Folder | Archive, name: str) -> tuple[int, int] | None:
    """Height and width by the header of an image; None if it is unreadable."""
    try:
        with by_any_spelling(name, folder.open) as file:
            header = read_header(file)
    except (OSError, ValueError):
        return None
    return None if header is None else header.size


def _none_is_there(rows: list[dict], folder: Folder | Archive) -> list[Defect]:
    """A note for a folder that has no file of any of the images."""
    names = [row["file_name"] for row in rows]
    if not names or is_any_there(names, folder.open):
        return []
    reason = f"none of {len(names)} is in {folder}; the first: {names[0]}"
    return [Defect("images elsewhere", "images", reason, note=True)]


def _stop_if_sizes_differ(
    name: str, rows: list[dict], folder: Folder | Archive
) -> None:
    """Raises ValueError where the annotations belong to images of other sizes.

    This happens when images are resized without their annotations. A few wrong sizes
    are no reason to stop: such an image is unreadable when its turn comes.
    """
    stated = [row for row in rows if row.get("upright") is None]
    looked_at, wrong = 0, []
    for row in stated[:: max(len(stated) // _LOOKED_AT, 1)]:
        try:
            with by_any_spelling(row["file_name"], folder.open) as file:
                header = read_header(file)
        except (OSError, ValueError):
            continue
        if header is None or row["height"] is None or row["width"] is None:
            continue
        looked_at += 1
        size = row["height"], row["width"]
        if not choose_turn(*header, stated=size, upright=None):
            found = size_text(*header)
            wrong.append(
                f"{folder}/{row['file_name']} is {found}, not {size[1]} x {size[0]}"
            )
    if wrong and 2 * len(wrong) >= looked_at:
        raise ValueError(
            f"{name}: {len(wrong)} of {looked_at} images that were looked at have "
            f"another size than stated; the first: {wrong[0]}"
        )


def _log_notes(name: str, defects: list[Defect]) -> None:
    for note in (one for one in defects if one.note):
        _log.warning("%s: %s", name, note)


def _warn_of_cut_boxes(name: str, cut: list[Defect]) -> None:
    if cut:
        _log.warning(
            "%s: %d boxes reach out of their image and were cut; the first: %s",
            *(name, len(cut), cut[0].place),
        )
