"""Which formulation of an op is traced, and for whom."""

import jax
import jax.numpy as jnp
import pytest

from fpn_jax.ops.platforms import at_lowering, by_platform, traced_for


def sines(x):
    return by_platform(jnp.sin, x, tpu=jnp.cos, onnx=jnp.tanh)


def primitives(function):
    return str(jax.make_jaxpr(function)(1.0))


def test_a_trace_for_onnx_has_one_formulation_and_no_choice():
    assert "tanh" in primitives(traced_for("onnx", sines))
    assert "sin" not in primitives(traced_for("onnx", sines))
    assert "tanh" not in primitives(sines)


def test_a_trace_for_a_platform_without_its_own_takes_the_default():
    assert "sin" in primitives(traced_for("cpu", sines))


def test_after_a_trace_or_its_failure_there_is_a_choice_again():
    def broken(x):
        raise KeyError

    with pytest.raises(KeyError):
        traced_for("onnx", broken)(1.0)
    assert "cos" in primitives(sines) and "sin" in primitives(sines)


def test_where_onnx_alone_has_its_own_nothing_is_chosen_when_compiled():
    def function(x):
        return at_lowering({"default": jnp.sin, "onnx": jnp.tanh}, x)

    assert "platform_index" not in primitives(function)
    assert jax.grad(function)(0.0) == 1
