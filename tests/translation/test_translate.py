"""Loops, constants, and what is computed before the model is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.onnx_twin import assert_same

NUMBERS = np.array([1, 5, 12], np.int32)


def test_a_loop_ends_where_its_condition_does():
    def collatz(numbers):
        def smaller(state):
            steps, x = state
            return steps + (x > 1), jnp.where(x % 2 == 0, x // 2, 3 * x + 1) * (x > 1)

        start = jnp.zeros_like(numbers), numbers
        return jax.lax.while_loop(lambda s: (s[1] > 1).any(), smaller, start)[0]

    assert_same(collatz, NUMBERS)  # 0, 5 and 9 steps, less those behind the first


def test_a_loop_may_have_no_round_and_see_what_is_outside():
    def function(numbers):
        images = jnp.ones((1, 3, 3, 2)) * numbers[0]
        limit = numbers.sum()

        def further(x):
            return x * 2 + images.sum().astype(jnp.int32)

        once = jax.lax.while_loop(lambda x: x < limit, further, numbers[0])
        never = jax.lax.while_loop(lambda x: x < 0, further, numbers[0])
        return once, never, images

    assert_same(function, NUMBERS)


def test_equal_constants_are_stored_once_and_known_ones_computed():
    pytest.importorskip("onnx")
    from fpn_jax.translation import onnx_model

    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)

    def function(x):
        unused = jnp.linalg.norm(x)
        del unused
        for _ in range(4):
            x = x @ (jnp.asarray(weights) * 2)
        return {"y": x}

    given = {"x": jax.ShapeDtypeStruct((2, 64), jnp.float32)}
    model = onnx_model(function, given)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["MatMul"] * 4 + ["Identity"]
    (constant,) = model.graph.initializer
    assert constant.dims == [64, 64]
