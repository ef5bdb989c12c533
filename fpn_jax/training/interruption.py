"""Ctrl-C and SIGTERM as a wish to stop after the present step.

Of several processes each would note its signal at another step, and wait for the others
in a save that these do not make: there the signals keep their meaning, and the last
checkpoint is what remains.
"""

import signal
from types import FrameType

import jax


class Interruption:
    """Within it the two signals set `signal` and end nothing; a second one does."""

    def __init__(self):
        self.signal: signal.Signals | None = None

    def __enter__(self) -> "Interruption":
        numbers = (signal.SIGINT, signal.SIGTERM) if jax.process_count() == 1 else ()
        self._previous = {n: signal.signal(n, self._note) for n in numbers}
        return self

    def __exit__(self, *exception) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
