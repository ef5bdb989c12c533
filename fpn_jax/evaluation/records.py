"""The plain structures of COCO's files, of ground truth and of results.

Ground truth is the dictionary of an annotation file. Results are a list of
`{"image_id", "category_id", "bbox", "score"}`, with `"segmentation"` and `"keypoints"`
from the heads that give them. A box is `[x, y, width, height]` in pixels of the
original image, a mask a compressed run-length encoding, keypoints are
`[x, y, visibility, x, …]`.
"""

import operator
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

import jax
import numpy as np

from fpn_jax.data.bitmaps import encode_rle
from fpn_jax.data.example import Category, Example, KeypointSpec, Truth
from fpn_jax.evaluation.image_pixels import in_image_pixels
from fpn_jax.types import Detections


def coco_ground_truth(
    examples: Iterable[Example | Truth],
    categories: Sequence[Category],
    keypoint_spec: KeypointSpec | None = None,
) -> dict:
    """The COCO annotation dictionary of the examples; annotation ids count from 1.

    The boxes of a `Truth` equal the annotation file's to the last bit.
    """
    images, annotations = [], []
    numbers = count(1)
    for example in examples:
        height, width = example.size
        images.append(
            {
                "id": example.image_id,
                "file_name": example.name,
                "height": height,
                "width": width,
            }
        )
        annotations += [
            {"id": next(numbers), **row} for row in _annotations(example, categories)
        ]
    keypoints = {} if keypoint_spec is None else _keypoint_fields(keypoint_spec)
    return {
        "images": images,
        "annotations": annotations,
        "categories": [category._asdict() | keypoints for category in categories],
    }


def coco_results(
    image_ids: Sequence[int],
    detections: Detections,
    categories: Sequence[Category],
    *,
    sizes: np.ndarray,
    image_sizes: np.ndarray,
) -> list[dict]:
    """COCO results of a batch of detections, which are NumPy arrays.

    Args:
        image_ids: B ids.
        detections: in pixels of the canvas; padding is left out.
        categories: by label.
        sizes: [B, 2], height and width of the images on the canvas, whole or not.
        image_sizes: [B, 2], height and width of the images.
    """
    results = []
    for row, image_id in enumerate(map(int, image_ids)):
        found = jax.tree.map(operator.itemgetter(row), detections)
        if not found.valid.any():
            continue
        found = in_image_pixels(found, size=sizes[row], image_size=image_sizes[row])
        results += [
            {"image_id": image_id, **result}
            for result in image_results(found, categories)
        ]
    return results


def image_results(found: Detections, categories: Sequence[Category]) -> list[dict]:
    """COCO results of one image, without its id.

    The detections are NumPy arrays without padding, in pixels of the image; masks are
    bitmaps [D, H, W] of it.
    """
    results = [
        {"category_id": categories[label].id, "bbox": box, "score": score}
        for label, box, score in zip(
            found.labels,
            _xywh(found.boxes).tolist(),
            found.scores.tolist(),
            strict=True,
        )
    ]
    if found.masks is not None:
        for result, bitmap in zip(results, found.masks, strict=True):
            result["segmentation"] = encode_rle(bitmap)
    if found.keypoints is not None:
        for result, points in zip(results, found.keypoints, strict=True):
            result["keypoints"] = _flat(points)
    return results


def _annotations(
    example: Example | Truth, categories: Sequence[Category]
) -> Iterator[dict]:
    """Yields the objects of an example without their ids."""
    segmentations, counts = example.segmentations, example.num_keypoints
    for row, box in enumerate(example.xywh.tolist()):
        annotation = {
            "image_id": example.image_id,
            "category_id": categories[example.labels[row]].id,
            "bbox": box,
            "area": float(example.areas[row]),
            "iscrowd": int(example.crowd[row]),
        }
        if segmentations is not None:
            annotation["segmentation"] = segmentations[row]
        if example.keypoints is not None and counts is not None:
            annotation["keypoints"] = example.keypoints[row].ravel().tolist()
            annotation["num_keypoints"] = int(counts[row])
        yield annotation


def _keypoint_fields(spec: KeypointSpec) -> dict:
    """Returns a COCO category's fields about keypoints, `sigmas` where we know them."""
    fields = {
        "keypoints": list(spec.names),
        "skeleton": [[first + 1, last + 1] for first, last in spec.skeleton],
    }
    return fields if spec.sigmas is None else fields | {"sigmas": list(spec.sigmas)}


def _flat(points: np.ndarray) -> list[float]:
    """Keypoints [P, 2] as COCO's flat list; a detector calls every one visible."""
    visible = np.ones((len(points), 1), points.dtype)
    return np.concatenate([points, visible], axis=1).ravel().tolist()


def _xywh(boxes: np.ndarray) -> np.ndarray:
    low, high = np.split(np.asarray(boxes, np.float64), 2, axis=-1)
    return np.concatenate([low, high - low], axis=-1)
