"""Batches in their order, read ahead of the step by threads or by processes."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import absl.flags
import grain

from fpn_jax.data.batch import Batch

# Decoding leaves Python's lock, so a few threads feed a small machine; more batches in
# memory than threads would not come faster.
_THREADS = 4
# What Grain (0.2.18) says of a worker that a signal ended, and how often in a row that
# is borne.
_KILLED = "Worker process was terminated unexpectedly"
_TRIES = 3
_log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """Examples read at once, with messages for the process that consumes them."""

    batches: tuple[Batch, ...]  # one for training
    unreadable: list[str]  # messages
    crowded: list[str]  # messages of images with more than max_boxes objects


ReadBatch = Callable[[int], Reading]


class Problems:
    """Tells of unreadable and crowded images, once each, and stops at the limit."""

    def __init__(self, max_errors: int, *, tells_crowded: bool = True):
        self._max_errors = max_errors
        self._unreadable: set[str] = set()
        self.tells_crowded = tells_crowded

    def report(self, unreadable: Sequence[str], crowded: Sequence[str]) -> None:
        """Warns of new problems.

        Args:
            unreadable: messages; of more different ones than allowed, a ValueError.
            crowded: messages of images with more than max_boxes objects; the first is
                told, for all of them.
        """
        for message in unreadable:
            if message not in self._unreadable:
                self._unreadable.add(message)
                _log.warning("Skipped image %d: %s", len(self._unreadable), message)
        if len(self._unreadable) > self._max_errors:
            raise ValueError(
                f"max_errors: {len(self._unreadable)} unreadable images, at most "
                f"{self._max_errors} allowed; the first: {sorted(self._unreadable)[0]}"
            )
        if crowded and self.tells_crowded:
            self.tells_crowded = False
            _log.warning(
                "%s, and so in other such images; --data.max-boxes gives them room",
                crowded[0],
            )


class TrainingBatches:
    """See `loader.training_batches`. `close` stops its threads and processes."""

    def __init__(self, read: ReadBatch, workers: int, problems: Problems):
        self._read = read
        self._workers = workers
        self._problems = problems
        self._next_batch = 0
        self._ahead = None  # opened by the first batch, so that resuming costs nothing

    def __iter__(self) -> "TrainingBatches":
        return self

    def __next__(self) -> Batch:
        reading = self._reading()
        self._problems.report(reading.unreadable, reading.crowded)
        self._next_batch += 1
        (batch,) = reading.batches
        return batch

    def _reading(self) -> Reading:
        """Takes the next batch, with new workers where one of them was killed."""
        for _ in range(_TRIES):
            if self._ahead is None:
                batches = range(self._next_batch, sys.maxsize)
                self._ahead = _read_ahead(self._read, batches, self._workers)
            try:
                return next(self._ahead)
            except RuntimeError as error:
                if _KILLED not in str(error):
                    raise
                _log.warning(
                    "A loader process was killed; reading goes on from batch %d",
                    self._next_batch,
                )
                self.close()
        raise ValueError(
            f"data.workers: of {self._workers} loader processes one was killed, and "
            f"again in {_TRIES} tries; is there too little memory?"
        )

    def peek(self, number: int) -> Batch:
        """Returns batch `number`, read at once; the iteration stays where it is."""
        (batch,) = self._read(number).batches
        return batch

    def get_state(self) -> dict[str, int]:
        """Returns the place behind the last batch, for `set_state`; JSON-able."""
        return {"next_batch": self._next_batch}

    def set_state(self, state: dict[str, int]) -> None:
        """Goes on where `state` was taken, by this iterator or another.

        The other may have other `workers`, but not another source, batch size or seed,
        nor another canvas where it groups by aspect.
        """
        self.close()
        self._next_batch = state["next_batch"]

    def close(self) -> None:
        """Stops reading ahead; taking another batch starts it again."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None


class EvaluationBatches:
    """See `loader.evaluation_batches`; may be iterated again."""

    def __init__(
        self,
        read: ReadBatch,
        num_readings: int,
        max_errors: int,
        *,
        tells_crowded: bool = True,
    ):
        self._read = read
        self._num_readings = num_readings
        self._max_errors = max_errors
        self._tells_crowded = tells_crowded

    def __iter__(self) -> Iterator[Batch]:
        problems = Problems(self._max_errors, tells_crowded=self._tells_crowded)
        ahead = _read_ahead(self._read, range(self._num_readings), workers=0)
        try:
            for reading in ahead:
                problems.report(reading.unreadable, reading.crowded)
                yield from reading.batches
        finally:
            self._tells_crowded = problems.tells_crowded
            ahead.close()


def _read_ahead(
    read: ReadBatch, numbers: range, workers: int
) -> grain.DatasetIterator[Reading]:
    """The batches of `numbers` in order, read by threads or by worker processes."""
    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_THREADS)
    batches = grain.MapDataset.range(numbers.start, numbers.stop).map(read)
    batches = batches.to_iter_dataset(options)
    if workers:
        # Grain 0.2.18 reads absl's flags when it starts workers, and fails where no
        # absl application has parsed them (google/grain issue 1361).
        absl.flags.FLAGS.mark_as_parsed()
        batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return iter(batches)
