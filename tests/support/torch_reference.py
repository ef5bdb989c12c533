"""The live reference: torch, and torchvision with or without its compiled operators.

`from tests.support.torch_reference import torch, torchvision`. Where
FPN_JAX_TESTS_WITHOUT_TORCH is set, as in CI's checks of other versions, neither is
imported, and tests that use one are skipped.
"""

import os
from typing import NoReturn

import pytest

from fpn_jax.parity.live_torchvision import import_torchvision


class _LeftOut:
    """In the place of a module and of all in it: to call any of it skips the test."""

    def __getattr__(self, name: str) -> "_LeftOut":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *arguments, **options) -> NoReturn:
        pytest.skip("compares with torch", allow_module_level=True)


if "FPN_JAX_TESTS_WITHOUT_TORCH" in os.environ:
    torch = torchvision = _LeftOut()
else:
    torch, torchvision = import_torchvision()
