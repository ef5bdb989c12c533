"""One picture of a source, and a source of pictures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

import numpy as np


class Picture(NamedTuple):
    """A picture that is not decoded yet."""

    name: str  # as people know it: "a/1.jpg", "a.zip/1.jpg", "clip.mp4#12"
    place: PurePath  # relative path below the folder, archive or list that it is of
    read: Callable[[], np.ndarray]  # raises UnreadableImage, one line


@dataclass(frozen=True)
class Source:
    """Pictures in their order, which are read once."""

    name: str
    pictures: Iterator[Picture]
    total: int | None = None  # pictures, where that is known
    frame_rate: float | None = None  # frames per second; None: it is no video
    place: PurePath | None = None  # relative path for what is written of a video
    live: bool = False  # of a camera or a stream: frames are wanted at once
