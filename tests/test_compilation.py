"""What a program costs before it runs."""

import jax
import jax.numpy as jnp
import pytest

from fpn_jax import compilation
from fpn_jax.compilation import check_fits, compile_first, device_bytes


def test_a_program_is_compiled_once_for_each_shape_of_its_last_argument():
    traces = []

    def scale(factor, x):
        traces.append(x.shape)
        return factor * x

    program = compile_first(jax.jit(scale))
    for size in (3, 3, 4, 3, 4):
        assert (program(2.0, jnp.ones(size)) == 2).all()
    assert traces == [(3,), (4,)]
    with pytest.raises(TypeError):
        program(jnp.ones(1), jnp.ones(3))


def test_the_options_of_jit_reach_the_compiler():
    program = compile_first(
        jax.jit(lambda x: x + 1, compiler_options={"no_such_option": True})
    )
    with pytest.raises(Exception, match="No such compile option: 'no_such_option'"):
        program(jnp.ones(3))


def test_a_program_that_needs_more_than_there_is_does_not_run(monkeypatch):
    monkeypatch.setattr(compilation, "device_bytes", lambda: 3e6)
    ran = []

    def add(x):
        jax.debug.callback(lambda: ran.append(1))
        return x + 1

    program = compile_first(jax.jit(add))
    program(jnp.ones(10))
    jax.effects_barrier()
    assert ran == [1]
    # A million numbers of 4 bytes come, and as many go.
    with pytest.raises(MemoryError, match="a step needs 0.0 GB, there are 0.0 GB"):
        program(jnp.ones(1_000_000))
    assert ran == [1]


def test_the_memory_of_the_machine_is_known_on_a_cpu():
    assert 1e8 < device_bytes() < 1e14
    check_fits(device_bytes())
    with pytest.raises(MemoryError, match="a step needs"):
        check_fits(2 * device_bytes())
