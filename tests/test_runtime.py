"""The process before JAX starts."""

import os
from types import SimpleNamespace

import pytest

from fpn_jax import runtime
from fpn_jax.runtime import num_cores, set_up


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_only_the_cores_that_the_process_may_use_are_counted():
    cores = os.sched_getaffinity(0)
    assert num_cores() == len(cores)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert num_cores() == 1
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize(("installed", "heaps"), [("", [2]), ("libtpu", [])])
def test_threads_share_heaps_unless_another_chips_compiler_is_there(
    installed, heaps, monkeypatch
):
    asked = []
    libc = SimpleNamespace(mallopt=lambda _, number: asked.append(number))
    monkeypatch.setattr(runtime, "ctypes", SimpleNamespace(CDLL=lambda _: libc))
    monkeypatch.setattr(runtime, "find_spec", lambda name: name == installed or None)
    set_up()
    assert asked == heaps
