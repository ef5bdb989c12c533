"""The live reference: torch, and torchvision with or without its compiled operators.

`from tests.torch_reference import torch, torchvision`.
"""

from fpn_jax.weights.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()
