"""What stands for torch where the tests run without it, as in CI's other versions."""

import os

import pytest


class LeftOut:
    """In the place of a module and of all in it: a test that calls any is skipped."""

    def __getattr__(self, name: str) -> "LeftOut":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *arguments, **options) -> "LeftOut":
        if "PYTEST_CURRENT_TEST" in os.environ:
            pytest.skip("compares with torch")
        return self  # to a module that is being imported

    def __mro_entries__(self, bases: tuple) -> tuple[type, ...]:
        return ()  # of a twin that is a torch.nn.Module
