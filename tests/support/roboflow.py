"""A small data set as a newcomer has it: Roboflow's exports, in three of its forms.

Cones, mugs and balls are drawn on scikit-learn's photographs: 44 pictures to train on,
10 to validate and 6 to test.

    python -m tests.support.roboflow FOLDER      # writes FOLDER/coco, yolov8 and voc
"""

import hashlib
import io
import json
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

NAMES = ("ball", "cone", "mug")
SPLITS = {"train": 44, "valid": 10, "test": 6}
SIDE = 416  # of a picture
_MOST = 4  # objects of a picture

Box = tuple[int, int, int, int]  # x1, y1, x2, y2


class Picture(NamedTuple):
    """A JPEG file and its objects."""

    name: str
    data: bytes
    objects: tuple[tuple[int, Box], ...]  # class and box


@cache
def draw(split: str) -> tuple[Picture, ...]:
    """Returns the pictures of a split, always the same."""
    first = sum(list(SPLITS.values())[: list(SPLITS).index(split)])
    photographs = load_sample_images().images
    numbers = range(first, first + SPLITS[split])
    return tuple(_picture(number, photographs[number % 2]) for number in numbers)


def write_coco(root: Path) -> None:
    """Writes Roboflow's COCO: its class 0 is the project, and no object has it."""
    for split in SPLITS:
        folder, images, annotations = root / split, [], []
        for picture in _written(folder, split):
            images.append(
                {
                    "id": len(images),
                    "file_name": picture.name,
                    "height": SIDE,
                    "width": SIDE,
                }
            )
            for label, (x1, y1, x2, y2) in picture.objects:
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": images[-1]["id"],
                        "category_id": label + 1,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1),
                        "segmentation": [],
                        "iscrowd": 0,
                    }
                )
        names = [{"id": 0, "name": "objects", "supercategory": "none"}] + [
            {"id": number, "name": name, "supercategory": "objects"}
            for number, name in enumerate(NAMES, start=1)
        ]
        content = {"images": images, "annotations": annotations, "categories": names}
        (folder / "_annotations.coco.json").write_text(json.dumps(content))


def write_yolov8(root: Path) -> None:
    """Writes Roboflow's YOLOv8, whose paths begin one folder too high."""
    for split in SPLITS:
        (root / split / "labels").mkdir(parents=True)
        for picture in _written(root / split / "images", split):
            lines = [
                f"{label} {(x1 + x2) / 2 / SIDE} {(y1 + y2) / 2 / SIDE} "
                f"{(x2 - x1) / SIDE} {(y2 - y1) / SIDE}\n"
                for label, (x1, y1, x2, y2) in picture.objects
            ]
            file = Path(picture.name).with_suffix(".txt")
            (root / split / "labels" / file).write_text("".join(lines))
    names = ", ".join(f"'{name}'" for name in NAMES)
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\n"
        f"nc: {len(NAMES)}\nnames: [{names}]\n"
    )


def write_voc(root: Path) -> None:
    """Writes Roboflow's Pascal VOC: an XML file beside each picture."""
    for split in SPLITS:
        for picture in _written(root / split, split):
            annotation = ElementTree.Element("annotation")
            ElementTree.SubElement(annotation, "filename").text = picture.name
            size = ElementTree.SubElement(annotation, "size")
            for name, number in (("width", SIDE), ("height", SIDE), ("depth", 3)):
                ElementTree.SubElement(size, name).text = str(number)
            for label, (x1, y1, x2, y2) in picture.objects:
                thing = ElementTree.SubElement(annotation, "object")
                ElementTree.SubElement(thing, "name").text = NAMES[label]
                corners = ElementTree.SubElement(thing, "bndbox")
                sides = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2}
                for name, side in sides.items():  # of pixels, which count from 1
                    ElementTree.SubElement(corners, name).text = str(side)
            file = root / split / Path(picture.name).with_suffix(".xml")
            ElementTree.ElementTree(annotation).write(file)


FORMS = {"coco": write_coco, "yolov8": write_yolov8, "voc": write_voc}


def _written(folder: Path, split: str) -> tuple[Picture, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw(split)
    for picture in pictures:
        (folder / picture.name).write_bytes(picture.data)
    return pictures


def _picture(number: int, photograph: np.ndarray) -> Picture:
    random = np.random.default_rng((7, number))
    y, x = (int(random.integers(0, n - 320)) for n in photograph.shape[:2])
    crop = Image.fromarray(photograph[y : y + 320, x : x + 320])
    image = crop.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pencil, objects = ImageDraw.Draw(image), []
    for _ in range(int(random.integers(1, _MOST + 1))):
        width = int(random.integers(40, 150))
        height = int(width * random.uniform(0.9, 1.3))
        x1 = int(random.integers(0, SIDE - width))
        y1 = int(random.integers(0, SIDE - height))
        box = (x1, y1, x1 + width, y1 + height)
        if any(_overlap(box, other) for _, other in objects):
            continue
        label = int(random.integers(len(NAMES)))
        color = tuple(int(c) for c in random.integers(60, 256, 3))
        (_ball, _cone, _mug)[label](pencil, box, color)
        objects.append((label, box))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    digits = hashlib.md5(str(number).encode()).hexdigest()
    name = f"IMG_{1000 + number}_jpg.rf.{digits}.jpg"
    return Picture(name, file.getvalue(), tuple(objects))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ball(pencil: ImageDraw.ImageDraw, box: Box, color: tuple[int, ...]) -> None:
    x1, y1, x2, y2 = box
    pencil.ellipse((x1, y1, x2 - 1, y2 - 1), fill=color)
    quarter = (x2 - x1) // 4
    white = (x1 + quarter, y1 + quarter, x1 + 2 * quarter, y1 + 2 * quarter)
    pencil.ellipse(white, fill=(255, 255, 255))


def _cone(pencil: ImageDraw.ImageDraw, box: Box, color: tuple[int, ...]) -> None:
    x1, y1, x2, y2 = box
    middle, third = (x1 + x2) // 2, (y2 - y1) // 3
    pencil.polygon([(middle, y1), (x1, y2 - 1), (x2 - 1, y2 - 1)], fill=color)
    sixth = (x2 - x1) // 6
    stripe = (middle - sixth, y1 + third, middle + sixth, y1 + third + third // 2)
    pencil.rectangle(stripe, fill=(255, 255, 255))


def _mug(pencil: ImageDraw.ImageDraw, box: Box, color: tuple[int, ...]) -> None:
    x1, y1, x2, y2 = box
    handle = (x2 - x1) // 4
    pencil.rectangle((x1, y1, x2 - 1 - handle, y2 - 1), fill=color)
    pencil.arc(
        (x2 - 1 - 2 * handle, y1 + handle, x2 - 1, y2 - 1 - handle),
        *(-90, 90),
        fill=color,
        width=max(handle // 3, 3),
    )
    pencil.ellipse((x1, y1, x2 - 1 - handle, y1 + handle), fill=(40, 40, 40))


if __name__ == "__main__":
    for form, write in FORMS.items():
        write(Path(sys.argv[1]) / form)
