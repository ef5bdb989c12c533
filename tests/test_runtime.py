"""The process before JAX starts."""

import os

import pytest

from fpn_jax.runtime import num_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_only_the_cores_that_the_process_may_use_are_counted():
    cores = os.sched_getaffinity(0)
    assert num_cores() == len(cores)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert num_cores() == 1
    finally:
        os.sched_setaffinity(0, cores)
