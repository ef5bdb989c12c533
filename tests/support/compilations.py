"""Counting what XLA compiles."""

import contextlib
from collections.abc import Iterator

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def count_compilations() -> Iterator[list[float]]:
    """Yields a list that receives the seconds of every compilation within."""
    compiled, active = [], True

    def note(event: str, seconds: float, **_) -> None:
        if active and event == _EVENT:
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield compiled
    finally:
        active = False
