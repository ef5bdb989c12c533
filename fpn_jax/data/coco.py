"""A folder of images with COCO annotations, as a source."""

from pathlib import Path

import numpy as np

from fpn_jax.data.coco_annotations import Objects, read_annotations
from fpn_jax.data.example import Example, UnreadableImage
from fpn_jax.data.image import decode_image
from fpn_jax.data.masks import decode_segmentations


class CocoSource:
    """Examples of a COCO annotation file, in the order of its images.

    Labels follow the order of the category ids: COCO's 1 … 90 become 0 … 79. Boxes
    become xyxy; what lies outside of the image is cut off, and counted in a warning.
    Areas are those of the file, where it has them. Images without objects are kept.
    Examples have keypoints where categories of the file name some, which must be the
    same in all that do; points whose names differ in `left` and `right` are a pair.

    Args:
        path: the annotation file, or a folder that holds `annotations.json`.
        images: the folder of the images; by default that of the annotation file.
        masks: whether examples have masks, which all annotations must then have; to
            decode them takes time.

    Raises:
        ValueError: if a file is missing or is no COCO file, or annotations are wrong:
            unknown or repeated ids, boxes not finite, of negative size or outside of
            the image, segmentations or keypoints of another form. One line counts the
            problems and names the first.
    """

    def __init__(
        self,
        path: str | Path,
        images: str | Path | None = None,
        *,
        masks: bool = False,
    ):
        path = Path(path).expanduser()
        path = path / "annotations.json" if path.is_dir() else path
        annotations = read_annotations(path, masks=masks)
        self.name = str(path)
        self.categories = annotations.categories
        self.keypoint_spec = annotations.keypoint_spec
        self._images = annotations.images
        self._objects = annotations.objects
        self._masks = masks
        self._folder = Path(images).expanduser() if images else path.parent
        if not self._folder.is_dir():
            raise ValueError(f"images: {self._folder} is not a folder")

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        row = self._images[index]
        path = self._folder / row["file_name"]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UnreadableImage(f"{path}: {error.strerror}") from error
        image = decode_image(data, str(path))
        if image.shape[:2] != (row["height"], row["width"]):
            raise ValueError(
                f"{path}: the file is {image.shape[1]} x {image.shape[0]} pixels, "
                f"{self.name} says {row['width']} x {row['height']}"
            )
        objects = self._objects[row["id"]]
        return Example(
            image_id=row["id"],
            name=row["file_name"],
            image=image,
            boxes=objects.table[:, :4].astype(np.float32),
            labels=objects.table[:, 4].astype(np.int32),
            crowd=objects.table[:, 5].astype(np.bool_),
            areas=objects.table[:, 6].astype(np.float32),
            masks=self._bitmaps(row, objects) if self._masks else None,
            keypoints=objects.keypoints,
            keypoint_spec=self.keypoint_spec,
        )

    def _bitmaps(self, image: dict, objects: Objects) -> np.ndarray:
        height, width = image["height"], image["width"]
        try:
            return decode_segmentations(objects.segmentations, height, width)
        except ValueError as error:
            raise ValueError(f"{self.name}: {image['file_name']}: {error}") from error
