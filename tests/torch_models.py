"""torchvision models with nothing at its default: every norm has random vectors."""

from tests.torch_reference import torch


def randomize_norms(model: "torch.nn.Module", seed: int = 0) -> "torch.nn.Module":
    """Returns the model in evaluation mode, its norms' vectors drawn at random."""
    random = torch.Generator().manual_seed(seed)
    draw = {"weight": (0.4, 0.8), "bias": (-0.2, 0.2)}
    draw |= {"running_mean": (-0.2, 0.2), "running_var": (0.5, 1.5)}
    with torch.no_grad():
        for module in model.modules():
            if "BatchNorm" in type(module).__name__:
                for name, (low, high) in draw.items():
                    getattr(module, name).uniform_(low, high, generator=random)
    return model.eval()


def numpy_state(model: "torch.nn.Module") -> dict:
    """Returns the model's state dict as NumPy arrays."""
    return {name: value.numpy() for name, value in model.state_dict().items()}


def to_torch(images) -> "torch.Tensor":
    """Returns NHWC images as an NCHW tensor."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def to_nhwc(tensor: "torch.Tensor"):
    """Returns an NCHW tensor as an NHWC array."""
    return tensor.detach().numpy().transpose(0, 2, 3, 1)
