"""What may go wrong with single images of a run without stopping it."""

import logging
from collections.abc import Sequence

_log = logging.getLogger(__name__)


class Problems:
    """Tells of unreadable and crowded images, once each, and stops at the limit."""

    def __init__(self, max_errors: int):
        self._max_errors = max_errors
        self._unreadable: set[str] = set()
        self._crowded = False

    def report(self, unreadable: Sequence[str], crowded: Sequence[str]) -> None:
        """Warns of what is new.

        Args:
            unreadable: messages; of more different ones than allowed, a ValueError.
            crowded: names of images with more than max_boxes objects.
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
        if crowded and not self._crowded:
            self._crowded = True
            _log.warning(
                "%s has more objects than max_boxes; only the largest are used, here "
                "and in other such images",
                crowded[0],
            )
