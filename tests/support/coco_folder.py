"""A COCO folder of examples: `annotations.json` and the images."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from fpn_jax.data.bitmaps import encode_rle
from fpn_jax.data.example import Category, Example


def write_coco_folder(
    folder: Path, examples: Iterable[Example], categories: Sequence[Category]
) -> Path:
    """Returns the folder, from which `open_coco_file` reads the same, pixel by pixel.

    File names are those of the examples, as PNG.
    """
    examples = [
        dataclasses.replace(example, name=str(Path(example.name).with_suffix(".png")))
        for example in examples
    ]
    for example in examples:
        cv2.imwrite(str(folder / example.name), example.image[..., ::-1])
    content = coco_content(examples, categories)
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def coco_content(
    examples: Iterable[Example], categories: Sequence[Category]
) -> dict[str, list[dict]]:
    """Returns what an annotation file says of the examples.

    Of three masks one becomes polygons, one a compressed and one an uncompressed
    run-length encoding. Masks and keypoints are written where the examples have them.
    """
    images, annotations, spec = [], [], None
    for example in examples:
        height, width = example.image.shape[:2]
        images.append(
            {
                **{"id": example.image_id, "file_name": example.name},
                **{"height": height, "width": width},
            }
        )
        spec = spec or example.keypoint_spec
        for row in range(len(example.boxes)):
            number = len(annotations) + 1
            annotations.append(
                _annotation(example, row, categories, number) | {"id": number}
            )
    rows = [category._asdict() for category in categories]
    if spec is not None:
        skeleton = [[start + 1, end + 1] for start, end in spec.skeleton]
        rows = [row | {"keypoints": spec.names, "skeleton": skeleton} for row in rows]
    return {"images": images, "categories": rows, "annotations": annotations}


def _annotation(
    example: Example, row: int, categories: Sequence[Category], number: int
) -> dict:
    x1, y1, x2, y2 = example.boxes[row].tolist()
    annotation = {
        "image_id": example.image_id,
        "category_id": categories[example.labels[row]].id,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": float(example.areas[row]),
        "iscrowd": int(example.crowd[row]),
    }
    if example.masks is not None:
        forms = (polygons, uncompressed_rle, encode_rle)
        annotation["segmentation"] = forms[number % 3](example.masks[row])
    if example.keypoints is not None:
        annotation["keypoints"] = example.keypoints[row].ravel().tolist()
    return annotation


def polygons(mask: np.ndarray) -> list[list[float]]:
    """A rectangle for every run of pixels in a row: exact, also around holes."""
    rectangles = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(row, prepend=False, append=False)).tolist()
        for x1, x2 in zip(edges[::2], edges[1::2], strict=True):
            rectangles.append([x1, y, x2, y, x2, y + 1, x1, y + 1])
    return rectangles


def uncompressed_rle(mask: np.ndarray) -> dict:
    """Lengths of runs down the columns, of zeros and ones in turn."""
    pixels = mask.T.ravel()
    edges = np.flatnonzero(np.diff(pixels, prepend=False)).tolist()
    counts = np.diff([0, *edges, len(pixels)]).tolist()
    return {"size": list(mask.shape), "counts": counts}
