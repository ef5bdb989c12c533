"""The layers that backbones, necks and heads are made of.

Features are NHWC, kernels HWIO. Padding is torch's: `kernel_size // 2` on both sides,
whatever the stride (`SAME` differs for stride 2 on even sizes).
"""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Literal, Protocol, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Bool, Float

from fpn_jax.choices import check_choice
from fpn_jax.ops.depthwise import depthwise_convolution
from fpn_jax.ops.grouped import grouped_convolution
from fpn_jax.ops.meshes import is_mapped, varied_as
from fpn_jax.ops.platforms import by_platform
from fpn_jax.ops.strides import strided
from fpn_jax.ops.strips import convolve_strips, cut, is_full, joined, strips_of

Norm = Literal["frozen", "batch", "group"] | None
# Type to compute in; None keeps the type of the input and the float32 parameters.
Dtype = Literal["float32", "bfloat16", "float16"] | None
# Hashable, a type that no command line reads, so that the axis is no option: the
# program that runs under pmap sets it.
AxisName = Hashable | None

NORMS = (None, "frozen", "batch", "group")
_GROUPS = 32  # of GroupNorm (Wu and He 2018)

# He et al. 2015 with the fan of the output, as torchvision initializes its backbones.
he_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
# Uniform, of a third of the variance that keeps a map's: torch's default.
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Conv(nn.Module):
    """A convolution and, where asked, its norm; no activation.

    `frozen` is batch norm with fixed statistics and affine (all four vectors are in
    `batch_stats`: neither counted nor trained): one multiplication and one addition,
    which XLA fuses with the activation that follows. Folded into the kernels it would
    be a second copy of all, kept for the gradient. `batch` is batch norm; under jit
    its statistics are those of the global batch, under pmap those over `axis_name`, in
    float32 always. Its running variance averages the biased one (torch: the unbiased,
    n / (n - 1) larger, n = B H W). `group` is GroupNorm of 32 groups (Wu and He 2018).

    `rows` marks the rows of the batch that are not padding: `batch` takes its
    statistics over them alone, or over all rows where none is marked. Under pmap each
    device counts alike, however many rows it has.

    `strips` of each image may be in place of the images (`ops.strips`), for a
    convolution that is neither depthwise nor of groups, and without `rows`.
    `convolution(x, kernel, stride=…)` is another formulation of `convolve`; it may give
    all features several times over, where `norm_is_fixed`.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    depthwise: bool = False  # One filter for each channel; `features` are as many.
    groups: int = 1  # Groups of channels; an output sees one group of the inputs.
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = he_normal_fan_out
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    norm: Norm = None
    norm_epsilon: float = 1e-5  # torchvision's default; some checkpoints have 0.0.
    # Share of the old statistics that `batch` keeps at a step: torch's momentum of 0.1.
    norm_momentum: float = 0.9
    train: bool = False  # Whether `batch` uses the statistics of the batch.
    axis_name: AxisName = None  # The pmap axis over which `batch` averages.
    dtype: Dtype = None  # Type to compute in; parameters are float32.

    @property
    def norm_is_fixed(self) -> bool:
        """Whether the norm, if any, maps each feature by itself, whatever the batch."""
        return self.norm in (None, "frozen") or (
            self.norm == "batch" and not self.train
        )

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w _"],
        rows: Bool[Array, " b"] | None = None,
        *,
        strips: int = 1,
        convolution: Callable[..., jax.Array] | None = None,
    ) -> Float[Array, "b _h _w _c"]:
        check_choice("norm", self.norm, NORMS)
        if self.depthwise and self.features != x.shape[-1]:
            raise ValueError(
                f"features of a depthwise convolution must be the {x.shape[-1]} "
                f"channels of its input, got {self.features}"
            )
        if x.shape[-1] % self.groups or self.features % self.groups:
            raise ValueError(
                f"groups must divide the channels {x.shape[-1]} and {self.features}, "
                f"got {self.groups}"
            )
        if self.norm == "group" and self.features % _GROUPS:
            raise ValueError(
                f'norm "group" needs a multiple of {_GROUPS} channels, got '
                f"{self.features}"
            )
        if strips > 1 and (self.depthwise or self.groups > 1 or rows is not None):
            raise ValueError(
                f"x has {strips} strips of each image, which neither a depthwise or "
                "grouped convolution nor rows that are padding know"
            )
        inputs = 1 if self.depthwise else x.shape[-1] // self.groups
        shape = (self.kernel_size, self.kernel_size, inputs, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        factor = None
        if self.norm == "frozen":
            factor, offset = FrozenNorm(self.features, self.norm_epsilon, name="norm")()
            bias = offset if bias is None else bias * factor + offset
        x, kernel, factor, bias = promote_dtype(
            x, kernel, factor, bias, dtype=self.dtype
        )
        times = 1
        if convolution is not None:
            x = convolution(x, kernel, stride=self.stride)
            times = x.shape[-1] // self.features
            factor, bias = (
                None if of_each is None else jnp.tile(of_each, times)
                for of_each in (factor, bias)
            )
        elif self.depthwise:
            x = depthwise_convolution(x, kernel, stride=self.stride)
        elif self.groups > 1:
            x = grouped_convolution(x, kernel, self.groups, stride=self.stride)
        else:
            x = convolve(x, kernel, stride=self.stride, strips=strips)
        if factor is not None:
            x = x * factor[None, None, None]
        if bias is not None:
            x = x + bias[None, None, None]
        if self.norm in ("batch", "group"):
            x = self._normed(x, rows, strips, times)
        return x

    @nn.nowrap
    def _normed(
        self,
        x: jax.Array,
        rows: Bool[Array, " b"] | None,
        strips: int,
        times: int,
    ) -> jax.Array:
        """Returns features behind the norm, computed in float32 or more.

        Flax leaves the type to promotion, which may be strict. `times` is how often x
        has each feature.
        """
        precise = jnp.float64 if x.dtype == jnp.float64 else jnp.float32
        dtype, x = x.dtype, x.astype(precise)
        if self.norm == "group":
            norm = nn.GroupNorm(
                num_groups=_GROUPS,
                epsilon=self.norm_epsilon,
                dtype=precise,
                name="norm",
            )
            # The statistics are those of all strips of an image.
            images = x if strips == 1 else x.reshape(-1, strips, *x.shape[1:])
            return norm(images).reshape(x.shape).astype(dtype)
        if times > 1:
            fixed = FrozenNorm(
                self.features, self.norm_epsilon, learned=True, name="norm"
            )
            factor, offset = (
                jnp.tile(of_each, times)[None, None, None] for of_each in fixed()
            )
            return (x * factor + offset).astype(dtype)
        if rows is not None:
            rows = (rows | ~rows.any())[:, None, None, None]
        norm = nn.BatchNorm(
            use_running_average=not self.train,
            momentum=self.norm_momentum,
            epsilon=self.norm_epsilon,
            axis_name=cast(str | None, self.axis_name),  # flax allows for more
            dtype=precise,
            name="norm",
        )
        return norm(x, mask=rows).astype(dtype)


class Normed(Protocol):
    """A module whose convolutions have a norm, told by four fields of its own."""

    norm: Norm
    norm_epsilon: float
    axis_name: AxisName
    dtype: Dtype


def normed_conv(module: Normed, *, train: bool) -> partial[Conv]:
    """Returns `Conv` with the norm and dtype of a module; no bias beside a norm."""
    return partial(
        Conv,
        use_bias=module.norm is None,
        norm=module.norm,
        norm_epsilon=module.norm_epsilon,
        train=train,
        axis_name=module.axis_name,
        dtype=module.dtype,
    )


class SeparableConv(nn.Module):
    """A depthwise convolution and a 1x1 one, each with its norm; SiLU between them."""

    conv: Callable[..., nn.Module]  # of `normed_conv`
    features: int
    kernel_size: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w _"]) -> Float[Array, "b _h _w _c"]:
        depthwise = self.conv(
            x.shape[-1],
            self.kernel_size,
            stride=self.stride,
            depthwise=True,
            name="depthwise",
        )
        return self.conv(self.features, 1, name="pointwise")(nn.silu(depthwise(x)))


class FrozenNorm(nn.Module):
    """Batch norm by its running statistics, as the map x -> factor * x + offset."""

    features: int
    epsilon: float = 1e-5
    learned: bool = False  # Scale and bias are parameters, as those of `nn.BatchNorm`.

    @nn.compact
    def __call__(self) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
        """Returns factor and offset, float32."""
        affine = "params" if self.learned else "batch_stats"
        scale, bias, mean, var = (
            self.variable(kind, name, fill, (self.features,), jnp.float32).value
            for kind, name, fill in (
                (affine, "scale", jnp.ones),
                (affine, "bias", jnp.zeros),
                ("batch_stats", "mean", jnp.zeros),
                ("batch_stats", "var", jnp.ones),
            )
        )
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        return factor, bias - mean * factor


def convolve(
    x: Float[Array, "b h w i"],
    kernel: Float[Array, "k k i o"],
    *,
    stride: int = 1,
    strips: int = 1,
) -> Float[Array, "b _h _w o"]:
    """Returns the convolution of odd kernel size k with torch padding k // 2.

    Sizes become ceil(h / stride). A 1x1 convolution is a matrix product: on a CPU 1.5
    to 3 times faster than XLA's convolution, and more in the gradient; compiled for a
    TPU with few images, 4 times or more. Eight images or strips lie beside the channels
    there, where a product would move them: a training step of RetinaNet by convolutions
    takes 0.90 of the time, and detection in eight images 0.88. For the larger kernels a
    TPU's few images are cut into strips, unless they are cut already (`ops.strips`).

    Args:
        strips: of each image, that x has in place of the images.
    """
    size, x = kernel.shape[0], jnp.asarray(x)
    if size == 1:
        convolution = partial(_convolution, stride=stride)
        if is_full(x):
            return convolution(x, kernel)
        return by_platform(
            partial(_product, stride=stride), x, kernel, onnx=convolution
        )
    whole = 1 if strips > 1 or stride > 1 else strips_of(x)
    if strips == whole == 1:
        return _convolution(x, kernel, stride=stride)
    if is_mapped(x):  # each device has a gradient of its own for the one kernel
        kernel = varied_as(kernel, x)
    x = convolve_strips(max(strips, whole), stride, cut(x, whole), kernel)
    return joined(x, whole)


def _product(x: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    return jnp.einsum("bhwi,io->bhwo", strided(x, stride), kernel[0, 0])


def _convolution(x: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    size = kernel.shape[0]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=[(size // 2, size // 2)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
