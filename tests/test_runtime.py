"""What a program costs before it runs."""

import jax
import jax.numpy as jnp
import pytest

from fpn_jax.runtime import compile_first


def test_a_program_is_compiled_once_for_the_shapes_of_its_first_call():
    traces = []

    def double(x):
        traces.append(x.shape)
        return 2 * x

    program = compile_first(jax.jit(double))
    assert (program(jnp.ones(3)) == 2).all()
    assert (program(jnp.zeros(3)) == 0).all()
    assert traces == [(3,)]
    with pytest.raises(TypeError):
        program(jnp.ones(4))
