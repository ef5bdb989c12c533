"""The live reference: torch, and torchvision with or without its compiled operators.

`from tests.support.torch_reference import torch, torchvision`.
"""

from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()
