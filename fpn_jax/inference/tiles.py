"""Small objects of large images: detection tile by tile (SAHI, Akyon et al. 2022)."""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fpn_jax.choices import check_count
from fpn_jax.data.given_images import ImageLike, as_image
from fpn_jax.inference.merging import merged
from fpn_jax.results.result import Result
from fpn_jax.types import Detections

Each = Callable[[Iterable[ImageLike]], Iterator[Result]]
"""Yields the result of each image, in their order."""

_MERGED_ABOVE = 0.5  # of the smaller box, as SAHI has it
_AT_BORDER = 2.0  # pixels of the image within which a box touches a tile's border
_MOST_MASKS = 2**33  # bytes of bitmaps of one image


@dataclass(frozen=True)
class Tiles:
    """Squares that an image is cut into; the last of a row and column end with it."""

    side: int = 640  # pixels of the image
    overlap: float = 0.2  # share of the side that neighbors have in common, at least
    # Also look at the whole image, for objects that are larger than a tile.
    whole: bool = True

    def __post_init__(self) -> None:
        check_count("tiles", self.side)
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap: {self.overlap!r} given, must be 0 … 1, below 1")


def tile_corners(size: tuple[int, int], tiles: Tiles) -> list[tuple[int, int]]:
    """Returns the upper left (y, x) of each tile of an image, row by row."""
    starts = []
    for extent in size:
        number = 1
        if extent > tiles.side:
            step = tiles.side * (1 - tiles.overlap)
            number = 1 + math.ceil((extent - tiles.side) / step)
        last = max(extent - tiles.side, 0)
        starts.append([round(n * last / max(number - 1, 1)) for n in range(number)])
    return [*itertools.product(*starts)]


def tiled(each: Each, tiles: Tiles, *, max_detections: int | None = None) -> Each:
    """Returns a function that looks at an image tile by tile, and merges what it finds.

    Tiles of all images go through `each` one after the other, so that they share its
    batches. An image that fits a tile is looked at as a whole alone. Of objects in the
    overlap of tiles one is kept: of two that share more than half of the smaller box
    the one that no border cuts, then the one of the higher score. What the limit
    leaves out of an image are its lowest scores; None: nothing.
    """

    def each_tiled(images: Iterable[ImageLike]) -> Iterator[Result]:
        waiting: deque[tuple[np.ndarray, list[tuple[int, int]]]] = deque()

        def views() -> Iterator[np.ndarray]:
            for given in images:
                image = as_image(given)
                corners = tile_corners(image.shape[:2], tiles)
                waiting.append((image, corners))
                if tiles.whole or len(corners) == 1:
                    yield image
                if len(corners) > 1:
                    for y, x in corners:
                        yield image[y : y + tiles.side, x : x + tiles.side]

        found = each(views())
        for first in found:
            image, corners = waiting.popleft()
            if len(corners) == 1:
                yield first
                continue
            results = [first]
            wanted = len(corners) + tiles.whole
            results += itertools.islice(found, wanted - 1)
            places = [(0, 0)] * tiles.whole + corners
            yield _merged(results, places, image, max_detections)

    return each_tiled


def _merged(
    results: list[Result],
    places: list[tuple[int, int]],
    image: np.ndarray,
    max_detections: int | None,
) -> Result:
    size = image.shape[:2]
    number = sum(len(result) for result in results)
    if results[0].masks is not None and number * size[0] * size[1] > _MOST_MASKS:
        raise ValueError(
            f"tiles: bitmaps of {number} objects of {size[1]} x {size[0]} pixels need "
            f"{number * size[0] * size[1] / 1e9:.0f} GB; a higher score threshold or a "
            "smaller image needs less"
        )
    parts, cut = [], []
    for result, place in zip(results, places, strict=True):
        parts.append(_moved(result, place, size))
        cut.append(_cut(result, place, size))
    found = merged(
        parts,
        threshold=_MERGED_ABOVE,
        smaller=True,
        cut=np.concatenate(cut),
        max_detections=max_detections,
    )
    first = results[0]
    return Result(found, size, first.categories, first.skeleton, given=image)


def _moved(result: Result, place: tuple[int, int], size: tuple[int, int]) -> Detections:
    """Returns a tile's detections in pixels of the image."""
    y, x = place
    found = result.detections
    found = found.replace(boxes=found.boxes + np.array([x, y, x, y], np.float32))
    if found.keypoints is not None:
        found = found.replace(keypoints=found.keypoints + np.array([x, y], np.float32))
    if found.masks is not None:
        masks = np.zeros((len(found.masks), *size), bool)
        height, width = result.size
        masks[:, y : y + height, x : x + width] = found.masks
        found = found.replace(masks=masks)
    return found


def _cut(result: Result, place: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Says of each object whether it touches a border that is none of the image."""
    (y, x), (height, width) = place, result.size
    low = result.boxes[:, :2] < _AT_BORDER
    high = result.boxes[:, 2:] > np.array([width, height]) - _AT_BORDER
    inner_low = np.array([x > 0, y > 0])
    inner_high = np.array([x + width < size[1], y + height < size[0]])
    return np.any((low & inner_low) | (high & inner_high), axis=1)
