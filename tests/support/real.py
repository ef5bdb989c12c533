"""Real photographs, annotations and weights, where the machine has them.

The variable FPN_JAX_TEST_DATA names their directory. Tests that read it are marked
`real`, and are skipped without it.
"""

import os
from pathlib import Path

import pytest


def real_file(name: str) -> Path:
    """Returns the path of a file or a folder; skips the test where there is none."""
    place = os.environ.get("FPN_JAX_TEST_DATA")
    if not place:
        pytest.skip("FPN_JAX_TEST_DATA names no directory of real data")
    path = Path(place) / name
    if not path.exists():
        pytest.skip(f"no {name} in FPN_JAX_TEST_DATA")
    return path
