"""The limits of a server: sizes of a request, length of the queue, times."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """Limits of requests; what passes one is refused with a line and a status."""

    body_bytes: int = 20_000_000
    pixels: int = 50_000_000  # of an image, by its header
    requests: int = 128  # being read, waiting or computed at the same time
    answer_seconds: float = 30.0  # from the last byte of a request to its answer
    body_seconds: float = 10.0  # from the head of a request to its last byte
