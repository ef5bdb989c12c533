"""What a program costs before it runs."""

import jax
import jax.numpy as jnp
import pytest

from fpn_jax.compilation import compile_first


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
