"""Between our arrays, NHWC in NumPy, and torch's tensors, NCHW."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpn_jax.parity.live_torchvision import import_torchvision


def numpy_state(model: Any) -> dict[str, np.ndarray]:
    """The state dict of torch's module, as arrays; a CPU's share its memory."""
    return {name: to_numpy(value) for name, value in model.state_dict().items()}


def tensor_state(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A state dict of arrays as tensors of their own, which a module can load."""
    torch, _ = import_torchvision()
    return {name: torch.tensor(array) for name, array in state_dict.items()}


def to_torch(images: np.ndarray) -> Any:
    """An array [N, H, W, C] as a tensor [N, C, H, W]."""
    torch, _ = import_torchvision()
    return torch.from_numpy(np.moveaxis(images, -1, 1).copy())


def to_numpy(tensor: Any) -> np.ndarray:
    """A tensor of any device as an array without its gradient; bfloat16 as float32."""
    torch, _ = import_torchvision()
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def to_nhwc(tensor: Any) -> np.ndarray:
    """A tensor [N, C, H, W] as an array [N, H, W, C], without its gradient."""
    return np.moveaxis(to_numpy(tensor), 1, -1)


def image_tensor(image: np.ndarray) -> Any:
    """A uint8 image [H, W, 3] as torchvision takes it: [3, H, W] in 0 … 1."""
    torch, _ = import_torchvision()
    return torch.from_numpy(image.transpose(2, 0, 1).copy()) / 255
