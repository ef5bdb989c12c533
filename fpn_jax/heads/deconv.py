"""The transposed convolution that the mask and the keypoint head end with."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Float

from fpn_jax.layers import Dtype, he_normal_fan_out
from fpn_jax.ops.onnx_operators import onnx_convolve_transposed
from fpn_jax.ops.platforms import at_lowering


class Deconv(nn.Module):
    """A transposed convolution of stride 2, which doubles height and width.

    Its kernel [k, k, O, I] belongs to the convolution it transposes, O features to I:
    torch's [I, O, k, k] by the permutation of any other convolution.
    """

    features: int
    kernel_size: int = 2  # even; torch's padding is kernel_size // 2 - 1
    dtype: Dtype = None  # of the computation; parameters are float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w _"]) -> Float[Array, "b 2*h 2*w _c"]:
        shape = (self.kernel_size, self.kernel_size, self.features, x.shape[-1])
        kernel = self.param("kernel", he_normal_fan_out, shape, jnp.float32)
        zeros = nn.initializers.zeros
        bias = self.param("bias", zeros, (self.features,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return convolve_transposed(x, kernel) + bias[None, None, None]


def convolve_transposed(
    x: Float[Array, "b h w i"], kernel: Float[Array, "k k o i"]
) -> Float[Array, "b 2*h 2*w o"]:
    """Returns sum_{h, t} x[h] kernel[t] where 2 h + t - (k // 2 - 1) is the output row.

    And so the columns. One matrix product gives every pixel its k x k patch of the
    output; neighboring patches overlap by k - 2 and are added. The product and its
    gradients are as large as those of a convolution of stride 1 that gathers, and need
    no dilated input, which is slow on CPU.

    Raises:
      ValueError: for an odd kernel size.
    """
    if kernel.shape[0] % 2:
        raise ValueError(f"kernel_size must be even, got {kernel.shape[0]}")
    formulations = {
        "default": _overlapping_patches,
        "onnx": onnx_convolve_transposed,
    }
    return at_lowering(formulations, x, kernel)


def _overlapping_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    size = kernel.shape[0]
    b, h, w, _ = x.shape
    pairs, crop = size // 2, size // 2 - 1
    patches = jnp.einsum("bhwi,yxoi->bhwyxo", x, kernel)
    total = jnp.zeros((), patches.dtype)
    for q in range(pairs):
        for r in range(pairs):
            part = patches[:, :, :, 2 * q : 2 * q + 2, 2 * r : 2 * r + 2]
            part = part.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, w, 2, -1)
            part = part.reshape(b, 2 * h, 2 * w, -1)  # see `upsample2x`
            rows, columns = (2 * q, 2 * (crop - q)), (2 * r, 2 * (crop - r))
            total = total + jnp.pad(part, ((0, 0), rows, columns, (0, 0)))
    return total[:, crop : crop + 2 * h, crop : crop + 2 * w]
