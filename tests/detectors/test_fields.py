"""A field of many submodules, changed at once."""

from fpn_jax.backbones.resnet import ResNet
from fpn_jax.detectors.fields import with_field
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN

MODEL = ProposalNetwork(ResNet(18), FPN(), RPNHead())


def test_a_field_is_set_where_a_module_has_one_and_nowhere_else():
    changed = with_field(MODEL, "axis_name", "data")
    assert changed.backbone.axis_name == "data"
    assert changed.head == MODEL.head
    assert with_field(changed, "axis_name", None) == MODEL


def test_a_dtype_reaches_every_submodule():
    half = with_field(MODEL, "dtype", "bfloat16")
    assert {half.backbone.dtype, half.neck.dtype, half.head.dtype} == {"bfloat16"}
