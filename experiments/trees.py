"""Two aerial photographs of trees as a YOLO data set: DEEPFOREST_DATA OUT

    pip download --no-deps deepforest && unzip deepforest-*.whl -d deepforest
    python -m experiments.trees deepforest/deepforest/data trees

Training is on overlapping crops of one photograph, validation on crops of another,
which as a whole is the split `test`. How a detector is trained and tried on it stands
in README.md, "Tiles and views".
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

TRAIN = "2019_YELL_2_541000_4977000_image_crop"
TEST = "2019_YELL_2_528000_4978000_image_crop2"
SIDE = 250  # pixels of a crop; a tree has some 25
SEEN = 0.3  # share of a tree's area below which it is no object of a crop
YAML = "train: train/images\nval: val/images\ntest: test/images\nnames: [tree]\n"


def main(data: str, out: str) -> None:
    for name, split, step in ((TRAIN, "train", 100), (TEST, "val", 250)):
        image, boxes = photograph(Path(data) / name)
        for number, crop in enumerate(crops(image, boxes, step)):
            write(Path(out) / split, f"{number:03}", *crop)
    write(Path(out) / "test", "whole", image, boxes)
    (Path(out) / "data.yaml").write_text(YAML)


def photograph(stem: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixels and the boxes [N, 4], xyxy, of an image and its Pascal VOC."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    boxes = ElementTree.parse(stem.with_suffix(".xml")).iter("bndbox")
    return cv2.imread(str(stem.with_suffix(".png"))), np.array(
        [[float(box.findtext(side, "")) for side in corners] for box in boxes]
    )


def crops(
    image: np.ndarray, boxes: np.ndarray, step: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields squares of the image with what is in them of the boxes."""
    height, width = image.shape[:2]
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for top in range(0, height - SIDE + 1, step):
        for left in range(0, width - SIDE + 1, step):
            inside = np.clip(boxes - [left, top, left, top], 0, SIDE)
            seen = np.prod(inside[:, 2:] - inside[:, :2], axis=1) > SEEN * areas
            if seen.any():
                crop = image[top : top + SIDE, left : left + SIDE]
                yield crop, inside[seen]


def write(folder: Path, name: str, image: np.ndarray, boxes: np.ndarray) -> None:
    """Writes an image, and its boxes as centers and sides in shares of it."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
    centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    rows = np.concatenate([centers, sides], axis=1) / np.tile(image.shape[1::-1], 2)
    lines = (f"0 {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for x, y, w, h in rows)
    (folder / "labels" / f"{name}.txt").write_text("".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
