"""The live reference: torch, and torchvision with or without its compiled operators.

`from tests.support.torch_reference import torch, torchvision`. Where
FPN_JAX_TESTS_WITHOUT_TORCH is set, as in CI's checks of other versions, neither is
imported, and tests that use one are skipped.
"""

import os

import pytest

from fpn_jax.parity.live_torchvision import import_torchvision


class _LeftOut:
    """In the place of a module and of all in it: a test that calls any is skipped."""

    def __getattr__(self, name: str) -> "_LeftOut":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *arguments, **options) -> "_LeftOut":
        if "PYTEST_CURRENT_TEST" in os.environ:
            pytest.skip("compares with torch")
        return self  # to a module that is being imported

    def __mro_entries__(self, bases: tuple) -> tuple[type, ...]:
        return ()  # of a twin that is a torch.nn.Module


if "FPN_JAX_TESTS_WITHOUT_TORCH" in os.environ:
    torch = torchvision = _LeftOut()
else:
    torch, torchvision = import_torchvision()
