"""Pictures decoded ahead, in threads, in their order."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from fpn_jax.data.example import UnreadableImage
from fpn_jax.media.picture import Picture

_THREADS = 4  # decoding leaves Python's lock


def decoded(
    pictures: Iterator[Picture],
    *,
    ahead: int,
    unreadable: Callable[[UnreadableImage], object],
) -> Iterator[tuple[Picture, np.ndarray]]:
    """Yields each picture with its pixels.

    Args:
        pictures: in their order; they are read in another thread.
        ahead: how many pictures are decoded before they are asked for.
        unreadable: called with the error of a picture that is left out.
    """
    waiting: queue.Queue[tuple[Picture, Future] | BaseException | None]
    waiting = queue.Queue(ahead)
    stopped = threading.Event()

    def put(item: tuple[Picture, Future] | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return waiting.put(item, timeout=0.1)
            except queue.Full:
                pass

    def fill() -> None:
        try:
            for picture in pictures:
                if stopped.is_set():
                    return
                put((picture, pool.submit(picture.read)))
            put(None)
        except BaseException as error:  # is raised where the pictures are used
            put(error)

    with ThreadPoolExecutor(_THREADS) as pool:
        filler = threading.Thread(target=fill, daemon=True)
        filler.start()
        try:
            while (item := waiting.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                picture, future = item
                try:
                    image = future.result()
                except UnreadableImage as error:
                    unreadable(error)
                    continue
                yield picture, image
        finally:
            stopped.set()
            filler.join()
