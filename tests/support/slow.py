"""Which cases of a test are only run where there is time."""

from collections.abc import Collection, Iterable

import pytest


def slow_but(quick: Collection, cases: Iterable) -> list:
    """Returns the cases as parameters, marked slow where they are not among `quick`."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if case in quick else pytest.mark.slow,
        )
        for case in cases
    ]
