"""A data set with one defect of every sort, beside the clean one it was made of."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tests.support.formats import CATEGORIES, coco_json, miniature, write_images

Found = tuple[str, str, str]  # split, kind, and the file or the place


def write_clean(root: Path) -> None:
    """COCO folders of 60 and 20 images; objects have masks and a point."""
    pairs = miniature(80)
    for split, part in (("train", pairs[:60]), ("validation", pairs[60:])):
        write_images(root / split, part)
        content = json.loads(coco_json(part))
        for row in content["categories"]:
            row["keypoints"] = ["middle"]
        for row in content["annotations"]:
            x, y, width, height = row["bbox"]
            row["keypoints"] = [x + width / 2, y + height / 2, 2]
        _write(root / split, content)


def plant_defects(root: Path) -> set[Found]:
    """Returns what was planted into a copy of the clean data set."""
    content = json.loads((root / "train" / "annotations.json").read_text())
    content["categories"].append({"id": 99, "name": "ghost", "keypoints": ["middle"]})
    planted = {
        ("train", "class without objects", "class 'ghost' (id 99)"),
        ("validation", "classes differ", "categories"),
    }
    names = {row["id"]: row["file_name"] for row in content["images"]}
    # One object of each image is spoilt, of those that are large enough.
    rows = {
        row["image_id"]: row
        for row in content["annotations"]
        if min(row["bbox"][2:]) > 12 and not row["iscrowd"]
    }
    rows = iter(rows.values())
    for kind, spoil in _OBJECTS:
        row = next(rows)
        planted.add(("train", kind, names[row["image_id"]]))
        if kind == "box reaches out":
            planted.add(("train", "mask apart", names[row["image_id"]]))
        spoil(row)
    for twice in (next(rows), next(rows)):
        number = len(content["annotations"]) + 1
        content["annotations"].append(twice | {"id": number})
        planted.add(("train", "object twice", names[twice["image_id"]]))
    row = next(rows)
    content["annotations"].append(copy.deepcopy(row) | {"image_id": 5000, "id": 900})
    content["annotations"].append(copy.deepcopy(row))
    content["annotations"].append(row | {"id": 904, "image_id": [1]})
    content["annotations"].append({"id": 901, "image_id": 2, "category_id": 1})
    content["images"].append(copy.deepcopy(content["images"][0]))
    content["images"].append({"id": 902, "height": 9, "width": 9})
    planted |= {
        ("train", "image unknown", "annotation 900"),
        ("train", "id repeated", f"id {row['id']}"),
        ("train", "field wrong", f"annotations[{len(content['annotations']) - 2}]"),
        ("train", "field missing", f"annotations[{len(content['annotations']) - 1}]"),
        ("train", "id repeated", f"id {content['images'][0]['id']}"),
        ("train", "field missing", f"images[{len(content['images']) - 1}]"),
    }
    planted |= _plant_files(root, content, names[next(rows)["image_id"]])
    _write(root / "train", content)
    return planted


def _plant_files(root: Path, content: dict, file: str) -> set[Found]:
    """Adds images that have something wrong, without objects."""
    gray = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    data = cv2.imencode(".jpg", gray)[1].tobytes()
    shutil.copy(root / "train" / file, root / "train" / "again.jpg")
    other = sorted((root / "validation").glob("*.jpg"))[0]
    shutil.copy(other, root / "train" / "known.jpg")
    cv2.imwrite(str(root / "train" / "black.png"), np.zeros((40, 60, 3), np.uint8))
    (root / "train" / "cut.jpg").write_bytes(data[: len(data) // 2])
    (root / "train" / "text.jpg").write_text("404 Not Found")
    (root / "train" / "empty.jpg").write_bytes(b"")
    cv2.imwrite(str(root / "train" / "turned.png"), gray.transpose(1, 0, 2))
    kinds = {
        "again.jpg": "image twice",
        "known.jpg": "",
        "black.png": "one color",
        "cut.jpg": "image unreadable",
        "text.jpg": "image unreadable",
        "empty.jpg": "image unreadable",
        "gone.jpg": "image unreadable",
        "turned.png": "image unlike its rows",
    }
    for number, name in enumerate(kinds, start=6000):
        height, width = 40, 60
        if name in ("again.jpg", "known.jpg"):
            height, width = cv2.imread(str(root / "train" / name)).shape[:2]
        content["images"].append(
            {"id": number, "file_name": name, "height": height, "width": width}
        )
    found = {("train", kind, name) for name, kind in kinds.items() if kind}
    return found | {("validation", "image of both splits", other.name)}


def _set(**fields: object) -> Callable[[dict], None]:
    return lambda row: row.update(fields)


def _box(change: Callable[..., list[float]]) -> Callable[[dict], None]:
    return lambda row: row.update(bbox=change(*row["bbox"]))


_OBJECTS = [
    ("corners swapped", _box(lambda x, y, w, h: [x + w, y, -w, h])),
    ("corners swapped", _box(lambda x, y, w, h: [x, y + h, w, -h])),
    ("box of no numbers", _box(lambda x, y, w, h: [x, y, float("nan"), h])),
    ("box of no numbers", _box(lambda x, y, w, h: [x, y, w])),
    ("box outside", _box(lambda x, y, w, h: [x + 1000, y, w, h])),
    ("box outside", _box(lambda x, y, w, h: [x, -1000, w, h])),
    ("box reaches out", _set(bbox=[-5, -5, 1000, 1000])),
    ("box without area", _box(lambda x, y, w, h: [x, y, 0, h])),
    ("box without area", _box(lambda x, y, w, h: [x, y, w, 0])),
    ("class unknown", _set(category_id=0)),
    ("class unknown", _set(category_id=3)),
    ("segmentation wrong", _set(segmentation=[[1, 2, 3, 4]])),
    ("segmentation wrong", _set(segmentation={"size": [9, 9], "counts": [81]})),
    ("segmentation wrong", _set(segmentation=None)),
    ("mask apart", _set(bbox=[0, 0, 200, 200])),
    ("mask empty", _set(segmentation=[[9000, 9000, 9001, 9000, 9001, 9001]])),
    ("field wrong", _set(area=-1)),
    ("field wrong", _set(iscrowd="no")),
    ("box outside", _set(bbox=[1e9, 0, 1e6, 9])),
    ("box of no numbers", _set(bbox=[3, 0, 6, 10**400])),
    ("keypoints wrong", _set(keypoints=[3, 4, 2, 5, 6, 2])),
    ("keypoints wrong", _set(keypoints=[3, 4, 3])),
    ("keypoint outside", _set(keypoints=[3, 999, 2])),
]
assert {category.id for category in CATEGORIES}.isdisjoint({0, 3, 99})


def _write(folder: Path, content: dict) -> None:
    (folder / "annotations.json").write_text(json.dumps(content))
