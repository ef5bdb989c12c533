"""One data set in every form that a source reads, with what is odd in real ones."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import yaml
from PIL import Image

from fpn_jax.data.digits.scenes import draw_scene, load_material
from fpn_jax.data.example import Category, Example, Turn
from tests.support.coco_folder import coco_content

# Not contiguous, as COCO's.
CATEGORIES = tuple(Category(3 * digit + 1, str(digit)) for digit in range(10))
_ROTATED = 6  # EXIF's orientation of a camera that was turned


Pairs = Sequence[tuple[Example, bytes]]  # examples and the files of their images


def miniature(num_images: int) -> list[tuple[Example, bytes]]:
    """Returns examples and the files of their images.

    Scenes of digits of odd sizes, some without objects; color, gray, CMYK and
    progressive JPEG, PNG, and photographs that EXIF turns upright and whose annotations
    are upright; crowds, and boxes of one pixel.
    """
    material = load_material("validation")
    pairs = []
    for number in range(num_images):
        scene = draw_scene(material, "validation", number)
        height, width = 320 - (7 * number) % 101, 320 - (13 * number) % 97
        width -= width == height  # of a square no size says whether it is turned
        masks = scene.masks[:, :height, :width]
        if len(masks) and number % 9 == 0:  # the first object becomes a dot
            y, x = np.argwhere(masks[0])[0]
            masks[0] = False
            masks[0, y, x] = True
        boxes = np.array([_tight(mask) for mask in masks]).reshape(-1, 4)
        data, image, turn = _encoded(scene.image[:height, :width], number)
        crowd = np.arange(len(boxes)) % 11 == 10
        crowd[:1] |= number % 10 == 5
        example = Example(
            image_id=17 * number + 2,
            name=f"{17 * number + 2:012d}.{'png' if number % 6 == 1 else 'jpg'}",
            image=image,
            boxes=boxes.astype(np.float32),
            labels=scene.labels.astype(np.int32),
            crowd=crowd,
            areas=masks.sum(axis=(1, 2)).astype(np.float32),
            masks=masks,
            turn=turn,
        )
        pairs.append((example.select(example.areas > 0), data))
    return pairs


def _tight(mask: np.ndarray) -> tuple[int, ...]:
    if not mask.any():
        return 0, 0, 0, 0
    (y1, y2), (x1, x2) = (
        np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (1, 0)
    )
    return x1, y1, x2 + 1, y2 + 1


def _encoded(image: np.ndarray, number: int) -> tuple[bytes, np.ndarray, Turn]:
    """Returns a file, its pixels in three channels, and how it is turned."""
    picture = Image.fromarray(image)
    kinds: tuple[tuple[str, dict], ...] = (
        ("JPEG", {"quality": 90}),
        ("PNG", {}),
        ("JPEG", {"quality": 80}),
        ("JPEG", {"quality": 95}),
        ("JPEG", {"exif": _orientation()}),
        ("JPEG", {"progressive": True, "optimize": True}),
    )
    form, options = kinds[number % 6]
    mode = {2: "L", 3: "CMYK"}.get(number % 6, "RGB")
    turn = Turn()
    if "exif" in options:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        turn = Turn(_ROTATED, applied=True)
    file = io.BytesIO()
    picture.convert(mode).save(file, form, **options)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    bgr = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), flags)
    stored = bgr[..., ::-1]
    return file.getvalue(), np.rot90(stored, -1 if turn.applied else 0).copy(), turn


def _orientation() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = _ROTATED
    return exif


def write_images(folder: Path, pairs: Pairs) -> Path:
    folder.mkdir(parents=True)
    for example, data in pairs:
        (folder / example.name).write_bytes(data)
    return folder


def write_coco(folder: Path, pairs: Pairs) -> None:
    """A folder of images with `annotations.json`."""
    write_images(folder, pairs)
    (folder / "annotations.json").write_text(coco_json(pairs))


def write_official(root: Path, pairs: Pairs, split: str) -> None:
    """As COCO is published, unpacked."""
    split = f"{split}2017"
    write_images(root / split, pairs)
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(coco_json(pairs))


def write_archives(root: Path, pairs: Pairs, split: str) -> None:
    """As COCO is published."""
    split = f"{split}2017"
    with zipfile.ZipFile(root / f"{split}.zip", "w") as archive:
        archive.mkdir(split)
        for example, data in pairs:
            archive.writestr(f"{split}/{example.name}", data)
    with zipfile.ZipFile(root / "annotations_trainval2017.zip", "w") as archive:
        archive.writestr(f"annotations/instances_{split}.json", coco_json(pairs))
        archive.writestr(f"annotations/captions_{split}.json", "{}")


def coco_json(pairs: Pairs, categories: Sequence[Category] = CATEGORIES) -> str:
    return json.dumps(coco_content([example for example, _ in pairs], categories))


def write_voc(root: Path, pairs: Pairs, split: str) -> None:
    """As the challenge publishes it; what is crowd here is difficult there."""
    write_images(root / "JPEGImages", pairs)
    write_xml(root / "Annotations", pairs)
    sets = root / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    stems = [Path(example.name).stem for example, _ in pairs]
    (sets / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
    (sets / f"7_{split}.txt").write_text("".join(f"{stem} -1\n" for stem in stems))


def write_xml(folder: Path, pairs: Pairs) -> None:
    folder.mkdir(exist_ok=True)
    for example, _ in pairs:
        height, width = example.image.shape[:2]
        tree = _element("annotation", filename=example.name)
        tree.append(_element("size", width=width, height=height, depth=3))
        for row, (x1, y1, x2, y2) in enumerate(example.boxes.astype(int).tolist()):
            name = CATEGORIES[example.labels[row]].name
            thing = _element("object", name=name, difficult=int(example.crowd[row]))
            box = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2}
            thing.append(_element("bndbox", **box))
            tree.append(thing)
        file = folder / f"{Path(example.name).stem}.xml"
        ElementTree.ElementTree(tree).write(file)


def _element(tag: str, **children: object) -> ElementTree.Element:
    element = ElementTree.Element(tag)
    for name, text in children.items():
        ElementTree.SubElement(element, name).text = str(text)
    return element


def write_yolo(root: Path, pairs: Pairs, split: str) -> None:
    write_images(root / "images" / split, pairs)
    (root / "labels" / split).mkdir(parents=True)
    for example, _ in pairs:
        height, width = example.image.shape[:2]
        lines = [
            f"{label} {(x1 + x2) / 2 / width!r} {(y1 + y2) / 2 / height!r} "
            f"{(x2 - x1) / width!r} {(y2 - y1) / height!r}\n"
            for label, (x1, y1, x2, y2) in zip(
                example.labels, example.boxes.tolist(), strict=True
            )
        ]
        if lines:  # images without objects have no file
            file = root / "labels" / split / f"{Path(example.name).stem}.txt"
            file.write_text("".join(lines))
    names = dict(enumerate(category.name for category in CATEGORIES))
    settings = {"path": ".", split: f"images/{split}", "names": names}
    (root / "data.yaml").write_text(yaml.safe_dump(settings))


def write_csv(root: Path, pairs: Pairs, split: str) -> None:
    write_images(root / "images", pairs)
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for example, _ in pairs:
        height, width = example.image.shape[:2]
        start = f"images/{example.name},{width},{height}"
        for label, box in zip(example.labels, example.boxes.tolist(), strict=True):
            corners = ",".join(map(str, box))
            lines.append(f"{start},{CATEGORIES[label].name},{corners}")
        if not len(example.boxes):
            lines.append(f"{start},,,,,")
    (root / f"{split}.csv").write_text("\n".join(lines) + "\n")


# The writer of each form, and the fields that are read as they were written. Where a
# form cannot say them, areas are those of boxes and nothing is crowd.
FORMS = {
    "coco": (write_coco, {"areas", "crowd", "masks"}),
    "official": (write_official, {"areas", "crowd", "masks"}),
    "archives": (write_archives, {"areas", "crowd", "masks"}),
    "voc": (write_voc, {"crowd"}),
    "yolo": (write_yolo, set()),
    "csv": (write_csv, set()),
}
