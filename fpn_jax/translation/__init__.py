"""A jaxpr as a model of ONNX.

`onnx_model` traces a function and writes its equations as nodes: one rule for each of
JAX's primitives, in the file of its kind. What is known is computed, equal constants
are stored once, and features stay with their channels first from the first convolution
to the last. The function is traced by `traced_for("onnx", …)`: then suppression,
RoIAlign, pooling and upsampling are ONNX's own operators (`ops.onnx_operators`).

Not everything can be said: it is for detectors, and a ValueError names what it lacks.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.translation.translate import onnx_model

__all__ = ["onnx_model"]

__getattr__, __dir__ = late_names(
    __name__, {"fpn_jax.translation.translate": ("onnx_model",)}
)
