"""torch and torchvision, the library to compare with; imported only when asked for."""

from types import ModuleType

from fpn_jax.benchmarks.timing import num_cores


def import_torchvision() -> tuple[ModuleType, ModuleType]:
    """torch, using every core, and torchvision with its compiled operators.

    Raises:
      ValueError: if one is missing, or the compiled operators do not load, as happens
        when torch and torchvision were built for different devices.
    """
    try:
        import torch
        import torchvision

        loaded = torchvision.extension._has_ops()
    except ImportError as error:
        raise ValueError(f"--peer torchvision: {error}; install both") from error
    except RuntimeError as error:  # torchvision finds its operators missing
        raise ValueError(f"--peer torchvision: does not load: {error}") from error
    if not loaded:
        raise ValueError("--peer torchvision: its compiled operators do not load")
    torch.set_num_threads(num_cores())
    return torch, torchvision
