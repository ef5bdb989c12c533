"""A folder of images with COCO annotations, as a source."""

import collections
import json
import logging
import math
from pathlib import Path

import numpy as np

from fpn_jax.data.example import Category, Example, UnreadableImage
from fpn_jax.data.image import decode_image

_log = logging.getLogger(__name__)


class CocoSource:
    """Examples of a COCO annotation file, in the order of its images.

    Labels follow the order of the category ids: COCO's 1 … 90 become 0 … 79. Boxes
    become xyxy; what lies outside of the image is cut off, and counted in a warning.
    Areas are those of the file, where it has them. Images without objects are kept.

    Args:
        path: the annotation file, or a folder that holds `annotations.json`.
        images: the folder of the images; by default that of the annotation file.

    Raises:
        ValueError: if a file is missing or is no COCO file, or annotations are wrong:
            unknown or repeated ids, boxes not finite, of negative size or outside of
            the image. One line counts the problems and names the first.
    """

    def __init__(self, path: str | Path, images: str | Path | None = None):
        path = Path(path).expanduser()
        path = path / "annotations.json" if path.is_dir() else path
        content = _load(path)
        categories = sorted(content["categories"], key=lambda row: row["id"])
        self.name = str(path)
        self.categories = tuple(Category(row["id"], row["name"]) for row in categories)
        self._folder = Path(images).expanduser() if images else path.parent
        self._images = content["images"]
        self._objects = _objects_by_image(path, content, self.categories)
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
        # Columns: x1, y1, x2, y2, label, iscrowd, area.
        objects = self._objects[row["id"]]
        return Example(
            image_id=row["id"],
            name=row["file_name"],
            image=image,
            boxes=objects[:, :4].astype(np.float32),
            labels=objects[:, 4].astype(np.int32),
            crowd=objects[:, 5].astype(np.bool_),
            areas=objects[:, 6].astype(np.float32),
        )


def _load(path: Path) -> dict[str, list[dict]]:
    """The three lists of an annotation file, with the fields that are read present."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    required = {
        "images": ("id", "file_name", "height", "width"),
        "categories": ("id", "name"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
    }
    problems = []
    for part, fields in required.items():
        rows = content.get(part) if isinstance(content, dict) else None
        if not isinstance(rows, list):
            raise ValueError(f"{path}: not a COCO annotation file, no list {part!r}")
        for number, row in enumerate(rows):
            missing = [field for field in fields if field not in row]
            if missing:
                problems.append(f"{part}[{number}] has no {missing[0]!r}")
        counts = collections.Counter(row.get("id") for row in rows)
        problems += [f"id {i} repeated in {part}" for i, n in counts.items() if n > 1]
    _stop_if_any(path, problems)
    return content


def _objects_by_image(
    path: Path, content: dict[str, list[dict]], categories: tuple[Category, ...]
) -> dict[int, np.ndarray]:
    """Image id -> rows of x1, y1, x2, y2, label, iscrowd, area; [N, 7] float64."""
    images = {row["id"]: row for row in content["images"]}
    labels = {category.id: label for label, category in enumerate(categories)}
    objects = {image_id: [] for image_id in images}
    problems, cut = [], []
    for row in content["annotations"]:
        image = images.get(row["image_id"])
        problem = _problem(row, image, labels)
        if problem:
            where = f" ({image['file_name']})" if image else ""
            problems.append(f"annotation {row['id']}{where}: {problem}")
            continue
        x, y, width, height = row["bbox"]
        box = [
            *(max(x, 0), max(y, 0)),
            *(min(x + width, image["width"]), min(y + height, image["height"])),
        ]
        if box != [x, y, x + width, y + height]:
            cut.append(row["id"])
        area = row.get("area", width * height)
        label = labels[row["category_id"]]
        objects[row["image_id"]].append([*box, label, row.get("iscrowd", 0), area])
    _stop_if_any(path, problems)
    if cut:
        _log.warning(
            "%s: %d boxes reach out of their image and were cut; the first: "
            "annotation %s",
            *(path, len(cut), cut[0]),
        )
    return {i: np.array(rows, float).reshape(-1, 7) for i, rows in objects.items()}


def _problem(row: dict, image: dict | None, labels: dict[int, int]) -> str | None:
    """What makes an annotation unusable, or None."""
    if image is None:
        return f"image_id {row['image_id']} is not in images"
    if row["category_id"] not in labels:
        return f"category_id {row['category_id']} is not in categories"
    box = row["bbox"]
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))):
        return f"bbox {box} must be four finite numbers"
    x, y, width, height = box
    if width < 0 or height < 0:
        return f"bbox {box} must be x, y, width, height with sizes >= 0"
    if x > image["width"] or y > image["height"] or x + width < 0 or y + height < 0:
        return f"bbox {box} is outside of {image['width']} x {image['height']} pixels"
    return None


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _stop_if_any(path: Path, problems: list[str]) -> None:
    if problems:
        shown = "; ".join(problems[:3]) + ("; …" if len(problems) > 3 else "")
        raise ValueError(f"{path}: {len(problems)} problems: {shown}")
