"""Real photographs and weights, where FPN_JAX_TEST_DATA says that they lie."""

import os
from pathlib import Path

import pytest


def real(name: str) -> Path:
    """Returns the path of a file or folder; without it the test is skipped."""
    place = os.environ.get("FPN_JAX_TEST_DATA")
    if place is None:
        pytest.skip("FPN_JAX_TEST_DATA is not set")
    path = Path(place) / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return path
