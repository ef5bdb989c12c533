"""How both sides of a row compute: on which device, and in which precision."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax

from fpn_jax.detectors.fields import with_field
from fpn_jax.parity.live_torchvision import import_torchvision

Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True)
class Setting:
    """Precision of both sides, and whether torch.compile takes part as well."""

    precision: Precision = "float32"
    torch_compile: bool = False

    def ours(self, model: nn.Module) -> nn.Module:
        """Returns a model of ours that multiplies in this precision."""
        if self.precision == "bfloat16":
            return with_field(model, "dtype", "bfloat16")
        return model

    def theirs(self, run: Callable[[], Any]) -> Callable[[], Any]:
        """Returns torch's `run` in this precision."""
        torch, _ = import_torchvision()
        device, enabled = peer_device(), self.precision == "bfloat16"

        def cast() -> Any:
            with torch.autocast(device, torch.bfloat16, enabled=enabled):
                return run()

        return cast


EAGER_FLOAT32 = Setting()


def peer_device() -> str:
    """Returns torch's name of the kind of device that JAX computes on.

    Raises ValueError if torch cannot use it: a GPU and a CPU are not compared.
    """
    torch, _ = import_torchvision()
    platform = jax.devices()[0].platform
    if platform == "cpu":
        return "cpu"
    if platform == "gpu" and torch.cuda.is_available():
        return "cuda"
    raise ValueError(
        f"JAX computes on a {platform.upper()}, where torch {torch.__version__} does "
        "not; with JAX_PLATFORMS=cpu both compute on the CPU"
    )


def finished(run: Callable[[], Any]) -> Callable[[], Any]:
    """Returns torch's `run`, made to wait until its device has finished."""
    if peer_device() == "cpu":
        return run
    torch, _ = import_torchvision()

    def measured() -> Any:
        outputs = run()
        torch.cuda.synchronize()
        return outputs

    return measured


def check_precision(precision: Precision, *, peer: bool) -> None:
    """Raises ValueError for TF32 without a GPU and, with a peer, as `peer_device`."""
    platform = jax.devices()[0].platform
    if precision == "tf32" and platform != "gpu":
        raise ValueError(
            f"precision: tf32 needs a GPU, and JAX computes on a {platform.upper()}"
        )
    if peer:
        peer_device()


@contextlib.contextmanager
def float32_products(precision: Precision, *, peer: bool) -> Iterator[None]:
    """Lets JAX, and torch as the peer, multiply float32 in a precision.

    By default a GPU multiplies in TF32 for JAX, for torch in convolutions only, and a
    TPU in bfloat16. With bfloat16, products that networks leave in float32 may be
    computed in TF32. On a CPU nothing changes.

    torch also times cuDNN's algorithms, as XLA does, and takes the fastest.
    """
    if jax.devices()[0].platform == "cpu":
        yield
        return
    exact = precision == "float32"
    with (
        jax.default_matmul_precision("float32" if exact else "tensorfloat32"),
        _peer_products(exact) if peer else contextlib.nullcontext(),
    ):
        yield


@contextlib.contextmanager
def _peer_products(exact: bool) -> Iterator[None]:
    torch, _ = import_torchvision()
    cudnn, matmul = torch.backends.cudnn, torch.get_float32_matmul_precision()
    before = cudnn.allow_tf32, cudnn.benchmark
    torch.set_float32_matmul_precision("highest" if exact else "high")
    cudnn.allow_tf32, cudnn.benchmark = not exact, True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        cudnn.allow_tf32, cudnn.benchmark = before
