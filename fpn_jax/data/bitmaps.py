"""Masks of objects between COCO's segmentations, bitmaps and boxes.

Annotation files hold segmentations: a list of polygons `[x, y, x, y, …]`, or a
run-length encoding `{"size": [height, width], "counts": …}`, whose runs go down the
columns, uncompressed as a list or compressed as text. A bitmap is bool [H, W].
"""

from collections.abc import Sequence
from typing import cast

import numpy as np

from fpn_jax.data.bilinear import resized

Segmentation = list[Sequence[float]] | dict

# The library walks along the edges of a polygon, whose length must be bounded.
_FARTHEST = 100_000  # pixels; no image is as large
_LONGEST_RUN = 10  # characters of a run: 50 bits


def decode_segmentation(
    segmentation: Segmentation, height: int, width: int
) -> np.ndarray:
    """Returns the bitmap [H, W]: the union of the polygons, or the runs.

    Raises:
        ValueError: if it is no segmentation of an image of this size.
    """
    from faster_coco_eval import mask as coco_mask

    rle = _run_lengths(segmentation, height, width)
    try:
        return coco_mask.decode(rle).astype(np.bool_)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"segmentation: {error}") from error


def segmentation_rle(segmentation: Segmentation, height: int, width: int) -> dict:
    """Returns the compressed run-length encoding of the same pixels, fit for JSON.

    Raises:
        ValueError: if it is no segmentation of an image of this size.
    """
    counts = _run_lengths(segmentation, height, width)["counts"]
    counts = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": [height, width], "counts": counts}


def rle_area(rle: dict) -> float:
    """The number of pixels of a compressed run-length encoding."""
    from faster_coco_eval import mask as coco_mask

    return float(coco_mask.area(rle))


def _run_lengths(segmentation: Segmentation, height: int, width: int) -> dict:
    """A compressed encoding as the library has it, with counts as text or bytes."""
    from faster_coco_eval import mask as coco_mask

    if problem := segmentation_problem(segmentation, height, width):
        raise ValueError(f"segmentation: {problem}")
    if isinstance(segmentation, dict):
        rle = {"size": [height, width], "counts": segmentation["counts"]}
        if isinstance(rle["counts"], list):
            rle = cast(dict, coco_mask.frPyObjects(rle, height, width))
        return rle
    polygons = [np.asarray(polygon, float).tolist() for polygon in segmentation]
    parts = coco_mask.frPyObjects(polygons, height, width)
    return coco_mask.merge(cast(list[dict], parts))  # one of each polygon


def decode_segmentations(
    segmentations: Sequence[Segmentation], height: int, width: int
) -> np.ndarray:
    """Returns the bitmaps [N, H, W] of N segmentations; N may be 0."""
    bitmaps = np.zeros((len(segmentations), height, width), np.bool_)
    for bitmap, segmentation in zip(bitmaps, segmentations, strict=True):
        bitmap[:] = decode_segmentation(segmentation, height, width)
    return bitmaps


def segmentation_problem(segmentation: object, height: int, width: int) -> str | None:
    """Says what is wrong with it, or None."""
    if isinstance(segmentation, dict):
        return _rle_problem(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        return f"{segmentation!r:.60} must be polygons or a run-length encoding"
    return next(filter(None, map(_polygon_problem, segmentation)), None)


def encode_rle(mask: np.ndarray) -> dict:
    """Returns the compressed run-length encoding of a bitmap [H, W], fit for JSON."""
    from faster_coco_eval import mask as coco_mask

    height, width = mask.shape
    # Only from the first to the last column of the object: objects are small, and a
    # pass down the columns of a whole image takes ten times as long.
    columns = np.flatnonzero(mask.any(axis=0))
    first, last = (columns[0], columns[-1]) if len(columns) else (0, 0)
    pixels = mask[:, first : last + 1].T.ravel().astype(np.bool_)
    edges = np.flatnonzero(np.diff(pixels, prepend=False, append=False))
    counts = np.diff(edges + first * height, prepend=0, append=height * width)
    if len(counts) > 1 and counts[-1] == 0:  # the object ends with the image
        counts = counts[:-1]
    runs = {"size": [height, width], "counts": counts.tolist()}
    rle = cast(dict, coco_mask.frPyObjects(runs, height, width))  # one of one
    return {"size": [height, width], "counts": rle["counts"].decode()}


def mask_box(mask: np.ndarray) -> np.ndarray:
    """Returns the smallest xyxy box, [4] int, around the pixels; there must be some."""
    xs, ys = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1])


def resize_masks(masks: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns bitmaps [N, height, width]: pixels that are at least half covered."""
    import cv2

    bitmaps = np.zeros((len(masks), height, width), np.bool_)
    for bitmap, mask in zip(bitmaps, masks, strict=True):
        levels = mask.astype(np.uint8) * 255
        levels = cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA)
        np.greater_equal(levels, 128, out=bitmap)
    return bitmaps


def crop_masks(masks: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """Returns bitmaps [N, size, size] of what lies in the boxes.

    The sides of a box are cut into `size` equal parts. A cell is True if half of it or
    more is covered by the pixels of the mask, which are squares: exact where a box is
    enlarged, and averaged where it is made smaller.

    Args:
        masks: [N, H, W] bool.
        boxes: [N, 4] xyxy, pixels; not without area.
        size: cells of a side.
    """
    import cv2

    crops = np.zeros((len(masks), size, size), np.bool_)
    for crop, mask, box in zip(crops, masks, boxes.astype(float), strict=True):
        left, top = np.floor(box[:2]).astype(int)
        right, bottom = np.ceil(box[2:]).astype(int)
        # The integral is bilinear within a pixel, and so is known everywhere.
        sums = cv2.integral(mask[top:bottom, left:right].astype(np.uint8))
        sums = _interpolated(sums, np.linspace(box[1], box[3], size + 1) - top)
        sums = _interpolated(sums.T, np.linspace(box[0], box[2], size + 1) - left).T
        cell = (box[2:] - box[:2]).prod() / size**2
        np.greater_equal(np.diff(np.diff(sums, axis=0)), 0.5 * cell, out=crop)
    return crops


def _interpolated(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The rows between rows, linearly: position 1.5 is half of row 1 and of row 2."""
    below = np.clip(positions.astype(int), 0, len(rows) - 2)
    share = np.clip(positions - below, 0, 1)[:, None]
    return rows[below] * (1 - share) + rows[below + 1] * share


def paste_masks(
    masks: np.ndarray, boxes: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Returns bitmaps [D, H, W]: where masks resized to their boxes are above one half.

    As torchvision: a mask [M, M] gets a border of zeros, its box grows with it, is cut
    to integers, and counts both its first and its last pixel.

    Args:
        masks: [D, M, M] float32, probabilities.
        boxes: [D, 4] float32, xyxy, pixels of the image; may reach out of it.
        height: of the image.
        width: of the image.
    """
    bitmaps = np.zeros((len(masks), height, width), np.bool_)
    if not len(masks):
        return bitmaps
    side = masks.shape[-1]
    bordered = np.pad(np.asarray(masks, np.float32), ((0, 0), (1, 1), (1, 1)))
    for bitmap, mask, box in zip(
        bitmaps, bordered, _grown(boxes, (side + 2) / side), strict=True
    ):
        x1, y1, x2, y2 = box.tolist()
        inside = resized(mask, y2 - y1 + 1, x2 - x1 + 1) > 0.5
        left, top = max(x1, 0), max(y1, 0)
        right, bottom = max(min(x2 + 1, width), left), max(min(y2 + 1, height), top)
        bitmap[top:bottom, left:right] = inside[
            top - y1 : bottom - y1, left - x1 : right - x1
        ]
    return bitmaps


def _grown(boxes: np.ndarray, scale: float) -> np.ndarray:
    """Boxes around the same centers, `scale` times as wide and high; int64."""
    boxes = np.asarray(boxes, np.float32)
    center = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5)
    half = (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5) * np.float32(scale)
    return np.concatenate([center - half, center + half], axis=1).astype(np.int64)


def _polygon_problem(polygon: object) -> str | None:
    try:
        numbers = np.asarray(polygon)
    except ValueError:  # lists of different lengths
        numbers = np.asarray(None)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
        return f"polygon {polygon!r:.60} must be a list of numbers"
    if len(numbers) < 6 or len(numbers) % 2:
        return f"polygon of {len(numbers)} numbers, must be 6, 8, 10 …"
    if not (np.abs(numbers) < _FARTHEST).all():  # False for NaN
        return f"polygon {polygon!r:.60} must be of numbers below {_FARTHEST}"
    return None


def _rle_problem(rle: dict, height: int, width: int) -> str | None:
    if rle.get("size") != [height, width]:
        return f"size {rle.get('size')!r:.60} must be the image's [{height}, {width}]"
    counts = rle.get("counts")
    if isinstance(counts, str):
        runs = _runs(counts)
        if runs is None:
            return f"counts {counts!r:.60} are no compressed run lengths"
    elif isinstance(counts, list) and all(
        isinstance(count, int) and 0 <= count <= height * width for count in counts
    ):
        runs = np.array(counts, np.int64)
    else:
        return f"counts {counts!r:.60} must be text or a list of integers >= 0"
    if runs.sum() != height * width:
        return f"counts add up to {runs.sum()}, must be {height} x {width}"
    return None


def _runs(counts: str) -> np.ndarray | None:
    """The run lengths of COCO's compressed counts; None for a text that is none.

    A character has 5 bits of a number, the lowest first, and a bit that says whether
    its next character belongs to it. From the fourth number on, one holds the
    difference to the number two places before.
    """
    try:
        codes = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        return None
    ends = np.flatnonzero(codes & 32 == 0)
    lengths = np.diff(ends, prepend=-1)
    if (
        not len(ends)
        or ends[-1] != len(codes) - 1
        or lengths.max() > _LONGEST_RUN
        or not (0 <= codes.min() and codes.max() < 64)
    ):
        return None
    starts = ends - lengths + 1
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 31) << (5 * places), starts)
    values -= (codes[ends] & 16 > 0).astype(np.int64) << (5 * lengths)
    runs = values.copy()
    runs[1::2] = np.cumsum(values[1::2])
    runs[2::2] = np.cumsum(values[2::2])
    return runs if (runs >= 0).all() else None
