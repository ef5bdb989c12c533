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
    """What the rows of networks are told of both sides."""

    precision: Precision = "float32"
    compiled: bool = False  # torchvision by torch.compile, too

    def ours(self, model: nn.Module) -> nn.Module:
        """Returns a model of ours that multiplies in this precision."""
        if self.precision == "bfloat16":
            return with_field(model, "dtype", "bfloat16")
        return model

    def theirs(self, run: Callable[[], Any]) -> Callable[[], Any]:
        """Returns torch's `run` in this precision, and back when its device is done."""
        torch, _ = import_torchvision()
        device, half = peer_device(), self.precision == "bfloat16"

        def measured() -> Any:
            with torch.autocast(device, torch.bfloat16, enabled=half):
                return run()

        return finished(measured)


EAGER_FLOAT32 = Setting()


def peer_device() -> str:
    """Returns torch's name of the kind of device that JAX computes on.

    Raises ValueError where torch does not have it: a GPU beside a CPU tells nothing.
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
    """Returns torch's `run`, which then comes back when its device is done."""
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
    """Has JAX, and torch if it is the peer, multiply float32 in a precision.

    By default GPUs multiply in TF32 in JAX, and in torch in convolutions alone. Beside
    bfloat16, which is a matter of the networks, TF32 is allowed to what they leave. On
    a CPU nothing changes.

    Raises ValueError for TF32 on a CPU, which has none, and as `peer_device`.
    """
    if jax.devices()[0].platform == "cpu":
        if precision == "tf32":
            raise ValueError("precision tf32 is one of GPUs, and JAX computes on a CPU")
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
