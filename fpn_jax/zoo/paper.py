"""The proposal network of the paper (FPN, section 4.1)."""

from fpn_jax.backbones.resnet import ResNet
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN


def rpn_resnet50_fpn() -> ProposalNetwork:
    """Returns the proposal network of the paper: ResNet-50, 256 channels, P2 … P6."""
    return ProposalNetwork(backbone=ResNet(depth=50), neck=FPN(), head=RPNHead())
