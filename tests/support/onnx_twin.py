"""A function beside its translation to ONNX, as onnxruntime runs it."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from fpn_jax.ops.platforms import traced_for


def by_onnx(function: Callable, *inputs: np.ndarray, symbolic: bool = False) -> list:
    """Returns the flat outputs of the translation of a function of arrays."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from fpn_jax.translation import onnx_model

    (batch,) = jax.export.symbolic_shape("batch")
    named: dict[str, Any] = {}
    for number, x in enumerate(inputs):
        shape = (batch, *x.shape[1:]) if symbolic else x.shape
        named[f"input{number}"] = jax.ShapeDtypeStruct(shape, x.dtype)

    def outputs(*arrays: jax.Array) -> dict[str, jax.Array]:
        leaves = jax.tree.leaves(function(*arrays))
        return {f"output{number:02}": x for number, x in enumerate(leaves)}

    model = onnx_model(traced_for("onnx", outputs), named)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(zip(named, inputs, strict=True)))


def assert_same(
    function: Callable, *inputs: np.ndarray, atol: float = 1e-5, symbolic: bool = False
) -> None:
    """Asserts that types, shapes and numbers are those that JAX computes."""
    wanted = jax.tree.leaves(jax.jit(function)(*map(jax.numpy.asarray, inputs)))
    found = by_onnx(function, *inputs, symbolic=symbolic)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=atol, rtol=1e-5)
