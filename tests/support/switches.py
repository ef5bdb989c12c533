"""Switches of JAX that a program around this library may set."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def switched(**values: object) -> Iterator[None]:
    before = {name: getattr(jax.config, name) for name in values}
    for name, value in values.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
