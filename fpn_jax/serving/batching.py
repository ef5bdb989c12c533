"""Requests that wait at the same time go through the device together."""

import logging
import operator
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import jax
import numpy as np

from fpn_jax.serving.engine import Canvas, Engine, Placed
from fpn_jax.types import Detections

_log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    placed: Placed
    future: Future
    since: float


class Batcher:
    """Queues of images, one a canvas, and the thread that empties them.

    A batch leaves when it is full, or when its first image has waited long enough. An
    image whose future was cancelled by then is left out.
    """

    def __init__(
        self,
        engine: Engine,
        wait_seconds: float,
        told: Callable[[int, float], object] = lambda images, seconds: None,
    ):
        """Takes the engine, and how long an image waits for others of its canvas.

        `told` is called with the number of images and the seconds of every batch.
        """
        self._engine, self._wait, self._told = engine, wait_seconds, told
        self._queues = {canvas: deque[_Waiting]() for canvas in engine.canvases}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="device", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def submit(self, placed: Placed) -> Future:
        """Returns the future of an image's `Detections`, with padding, on its canvas.

        It fails with what the device failed with.
        """
        future: Future = Future()
        waiting = _Waiting(placed, future, time.monotonic())
        with self._changed:
            self._queues[placed.canvas].append(waiting)
            self._changed.notify()
        return future

    @property
    def waiting(self) -> int:
        """Images in the queues, those included that nobody waits for any more."""
        return sum(len(queue) for queue in self._queues.values())

    def close(self) -> None:
        """Returns when all that was submitted is computed and the thread has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            if not batch:
                continue
            start = time.monotonic()
            try:
                found = self._found([each.placed for each in batch])
            except Exception as error:
                _log.exception("a batch of %d images failed", len(batch))
                for each in batch:
                    each.future.set_exception(error)
                continue
            self._told(len(batch), time.monotonic() - start)
            for each, detections in zip(batch, found, strict=True):
                each.future.set_result(detections)

    def _next(self) -> list[_Waiting] | None:
        """Returns the images of the next batch, none of them cancelled; None: closed.

        Of several batches that may leave, the one whose first image came first does.
        """
        with self._changed:
            while True:
                queues = self._queues.items()
                first = sorted((queue[0].since, c) for c, queue in queues if queue)
                if not first and self._closed:
                    return None
                for since, canvas in first:
                    full = len(self._queues[canvas]) >= self._engine.batch_size
                    left = since + self._wait - time.monotonic()
                    if full or self._closed or left <= 0:
                        return self._taken(canvas)
                soonest = first[0][0] + self._wait - time.monotonic() if first else None
                self._changed.wait(soonest)

    def _taken(self, canvas: Canvas) -> list[_Waiting]:
        queue, taken = self._queues[canvas], []
        while queue and len(taken) < self._engine.batch_size:
            each = queue.popleft()
            if each.future.set_running_or_notify_cancel():
                taken.append(each)
        return taken

    def _found(self, placed: list[Placed]) -> list[Detections]:
        """Runs the program on a batch, filled up with none."""
        rows, canvas = self._engine.batch_size, placed[0].canvas
        images = np.zeros((rows, *canvas, 3), np.uint8)
        sizes = np.zeros((rows, 2), np.int32)  # 0, 0: not an image
        for row, each in enumerate(placed):
            height, width = sizes[row] = each.pixels.shape[:2]
            images[row, :height, :width] = each.pixels
        found = self._engine.run(images, sizes)
        return [jax.tree.map(operator.itemgetter(n), found) for n in range(len(placed))]
