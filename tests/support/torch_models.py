"""Between our layout and torch's."""

from tests.support.torch_reference import torch


def numpy_state(model: "torch.nn.Module") -> dict:
    """Returns the model's state dict as NumPy arrays."""
    return {name: value.numpy() for name, value in model.state_dict().items()}


def to_torch(images) -> "torch.Tensor":
    """Returns NHWC images as an NCHW tensor."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def to_nhwc(tensor: "torch.Tensor"):
    """Returns an NCHW tensor as an NHWC array."""
    return tensor.detach().numpy().transpose(0, 2, 3, 1)
