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
    """Precision of both sides, and whether torchvision is compiled as well."""

    precision: Precision = "float32"
    compiled: bool = False  # torchvision by torch.compile, too

    def ours(self, model: nn.Module) -> nn.Module:
        """Returns a model of ours that multiplies in this precision."""
        if self.precision == "bfloat16":
            return with_field(model, "dtype", "bfloat16")
        return model

    def theirs(self, run: Callable[[], Any]) -> Callable[[], Any]:
        """Returns torch's `run` in this precision."""
        torch, _ = import_torchvision()
        device, half = peer_device(), self.precision == "bfloat16"

        def cast() -> Any:
            with torch.autocast(device, torch.bfloat16, enabled=half):
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


@contextlib.contextmanager
def products_of_float32(precision: Precision, *, peer: bool) -> Iterator[None]:
    """Sets the precision in which JAX, and torch as the peer, multiply float32.

    On a GPU, JAX multiplies in TF32 by default, and torch does in convolutions only.
    With bfloat16, products that networks leave in float32 may be computed in TF32. On a
    CPU nothing changes.

    Raises ValueError for TF32 on a CPU, and where `peer_device` does.
    """
    if jax.devices()[0].platform == "cpu":
        if precision == "tf32":
            raise ValueError("precision: tf32 needs a GPU, and JAX computes on a CPU")
        yield
        return
    exact = precision == "float32"
    if peer:
        torch, _ = import_torchvision()
        peer_device()  # told before anything is measured
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact
    with jax.default_matmul_precision("float32" if exact else "tensorfloat32"):
        yield
