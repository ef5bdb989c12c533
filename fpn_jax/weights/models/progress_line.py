"""Progress of a download: one line that a terminal writes over, else nothing."""

import sys
import time
from typing import TextIO

_EVERY = 0.1  # seconds
_BAR = 20  # characters


class ProgressLine:
    """Shows the bytes done, the rate and the time left of one file."""

    def __init__(self, title: str, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._title, self._shown = title, 0.0
        self._begin: tuple[float, int] | None = None  # time, bytes that were there

    def __call__(self, done: int, total: int | None) -> None:
        """Shows that `done` bytes are there, of `total` where that is known."""
        now = time.monotonic()
        if self._begin is None:
            self._begin = now, done
        if not self._stream.isatty() or (now - self._shown < _EVERY and done != total):
            return
        self._shown = now
        seconds, bytes_come = now - self._begin[0], done - self._begin[1]
        rate = bytes_come / seconds if seconds > 0 else 0.0
        self._stream.write(f"\r{progress_text(self._title, done, total, rate):<79.79}")
        self._stream.flush()

    def close(self) -> None:
        """Ends the line, if there is one."""
        if self._shown:
            self._stream.write("\n")


def progress_text(title: str, done: int, total: int | None, rate: float) -> str:
    """Returns the line, of at most 79 characters.

    >>> progress_text("resnet50-0676ba61.pth", 41_000_000, 102_500_000, 8.2e6)
    'resnet50-0676ba61.pth  [########            ]  40 %  41 of 102 MB  0:07 left'
    """
    if total:
        bar = "#" * (_BAR * done // total)
        words = f"[{bar:<{_BAR}}] {100 * done // total:3} %"
        words += f"  {done / 1e6:.0f} of {total / 1e6:.0f} MB"
    else:
        words = f"{done / 1e6:.0f} MB  {rate / 1e6:.1f} MB/s"
    if total and rate and done < total:
        minutes, seconds = divmod(int((total - done) / rate), 60)
        words += f"  {minutes}:{seconds:02} left"
    room = 79 - len(words) - 2
    return f"{title if len(title) <= room else title[: room - 1] + '…'}  {words}"
