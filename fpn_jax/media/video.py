"""Frames of videos, streams and cameras, and a video of frames."""

import contextlib
import math
import queue
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path, PurePath, PurePosixPath
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from fpn_jax.data.example import UnreadableImage
from fpn_jax.media.picture import Picture, Source

VIDEO_SUFFIXES = tuple(
    (
        ".3gp .asf .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv"
    ).split()
)
_STREAMS = ("rtsp://", "rtsps://", "rtmp://", "tcp://", "udp://")
_FRAME_RATE = 25.0  # where a file or camera does not say
_FASTEST = 240.0  # frames per second; larger numbers are of broken headers
_TICK = Fraction(1, 1000)  # seconds; of a live video
_Frames = Iterator[tuple[int, np.ndarray]]
_QUALITY = "20"  # libx264's constant rate factor; its default of 23 smears thin lines


def is_stream(given: str) -> bool:
    """Whether it is the address of a stream."""
    return given.lower().startswith(_STREAMS)


def last_part(address: str) -> str:
    """Returns the name of a file in a path or an address: clip.mp4 of …/clip.mp4?a=b.

    A path has no query: only an address is cut there.
    """
    path = address.partition("?")[0] if "://" in address else address
    return PurePosixPath(path).name or "pictures"


def open_video(given: str, place: PurePath, *, every: int = 1) -> Source:
    """Returns the frames of a file, a web address or a stream, turned upright.

    `place` is the relative path for what is written of it. Raises UnreadableImage, one
    line, where there is no video.
    """
    if "://" not in given and not Path(given).is_file():
        raise UnreadableImage(f"{given}: No such file or directory")
    capture = cv2.VideoCapture(given)
    if not capture.isOpened():
        raise UnreadableImage(f"{given}: not a readable video")
    return _source(given, place, capture, every, live=is_stream(given))


def open_camera(number: int, *, every: int = 1) -> Source:
    """Returns the frames of a camera of this machine; they have no end.

    Raises UnreadableImage, one line, where there is no such camera.
    """
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(number)  # warns where there is none
    cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        raise UnreadableImage(f"{number}: neither a file nor a camera of this machine")
    place = PurePath(f"camera-{number}")
    return _source(f"camera {number}", place, capture, every, live=True)


class Video:
    """A video file (H.264 in MP4) that frames are added to, until its `with` ends."""

    def __init__(self, path: Path, frame_rate: float, *, live: bool = False):
        """Takes the path of the file, and the frames per second.

        Frames of a live video are shown as long after the first as they were added.
        """
        self._path, self._frame_rate, self._live = path, frame_rate, live
        self._is_open, self._began, self._shown = False, 0.0, -1

    def __enter__(self) -> "Video":
        return self

    def add(self, frame: np.ndarray) -> None:
        """Adds an RGB image uint8 [H, W, 3]; all are as large as the first.

        A side of an odd number of pixels loses one, which the format cannot hold.
        """
        import av

        if not self._is_open:
            self._open(frame.shape)
        height, width = self._stream.height, self._stream.width
        pixels = np.ascontiguousarray(frame[:height, :width])
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        if self._live:
            now = round((time.monotonic() - self._began) / _TICK)
            self._shown = max(now, self._shown + 1)
            picture.pts, picture.time_base = self._shown, _TICK
        self._container.mux(self._stream.encode(picture))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_open:
            self._container.mux(self._stream.encode(None))
            self._container.close()

    def _open(self, shape: tuple[int, ...]) -> None:
        import av

        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._path), "w")
        rate = Fraction(self._frame_rate).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.height, self._stream.width = shape[0] & ~1, shape[1] & ~1
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": _QUALITY}
        if self._live:
            self._stream.codec_context.time_base = _TICK
        self._is_open, self._began = True, time.monotonic()


def _source(
    name: str, place: PurePath, capture: Any, every: int, *, live: bool
) -> Source:
    rate = capture.get(cv2.CAP_PROP_FPS)
    rate = rate if math.isfinite(rate) and 0 < rate <= _FASTEST else _FRAME_RATE
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    total = None if live or frames <= 0 else -(-frames // every)
    frames_of = _newest if live else _all
    pictures = _pictures(name, place, frames_of(capture, every))
    return Source(name, pictures, total, rate / every, place, live=live)


def _pictures(name: str, place: PurePath, frames: _Frames) -> Iterator[Picture]:
    for number, frame in frames:
        image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        own = place.with_name(f"{place.stem}-{number:06d}")
        yield Picture(f"{name}#{number}", own, lambda image=image: image)


def _all(capture: Any, every: int) -> _Frames:
    """Yields every n-th frame with its number; one that is damaged is left out."""
    number = 0
    try:
        while capture.grab():
            if number % every == 0:
                whole, frame = capture.retrieve()
                if whole:
                    yield number, frame
            number += 1
    finally:
        capture.release()


def _newest(capture: Any, every: int) -> _Frames:
    """Yields the newest frame of those that come, with its number.

    A network slower than the camera skips frames, instead of seeing ever older ones.
    """
    newest: queue.Queue[tuple[int, np.ndarray] | None] = queue.Queue(1)
    stopped = threading.Event()

    def follow() -> None:
        try:
            for item in _all(capture, every):
                if stopped.is_set():
                    return
                with contextlib.suppress(queue.Empty):
                    newest.get_nowait()  # is replaced
                newest.put(item)
        finally:
            while not stopped.is_set():  # the last frame is waited for
                with contextlib.suppress(queue.Full):
                    newest.put(None, timeout=0.1)
                    break

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        while (item := newest.get()) is not None:
            yield item
    finally:
        stopped.set()
        follower.join()
