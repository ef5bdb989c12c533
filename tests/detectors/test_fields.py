"""A field of many submodules, changed at once; where submodules are found."""

from typing import Any

import flax.linen as nn
import pytest

from fpn_jax.backbones.resnet import ResNet
from fpn_jax.detectors.fields import parts, values_of, with_field, with_head_limits
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN

MODEL = ProposalNetwork(ResNet(18), FPN(), RPNHead())


class Holder(nn.Module):
    """Submodules of the user's in a tuple or a dictionary."""

    heads: Any = ()
    scale: float = 1.0


def test_a_field_is_set_where_a_module_has_one_and_nowhere_else():
    changed = with_field(MODEL, "axis_name", "data")
    assert changed.backbone.axis_name == "data"
    assert changed.head == MODEL.head
    assert with_field(changed, "axis_name", None) == MODEL


def test_a_dtype_reaches_every_submodule():
    half = with_field(MODEL, "dtype", "bfloat16")
    assert {half.backbone.dtype, half.neck.dtype, half.head.dtype} == {"bfloat16"}


def test_submodules_in_tuples_and_dictionaries_are_found_and_changed():
    several = Holder((BoxHead(3), Holder({"a": BoxHead(4), "b": None})))
    assert list(parts(several)) == ["heads.0", "heads.1"]
    classes = {"heads.0.num_classes": 3, "heads.1.heads.a.num_classes": 4}
    assert values_of(several, "num_classes") == classes
    half = with_field(several, "dtype", "bfloat16")
    assert set(values_of(half, "dtype").values()) == {"bfloat16"}
    assert (half.heads[1].heads["b"], half.scale) == (None, 1.0)


def test_a_limit_is_set_in_the_head_or_refused_by_its_name():
    few = with_head_limits(MODEL, "head", post_nms=7, nms_threshold=None)
    assert (few.head.post_nms, few.head.nms_threshold) == (7, 0.7)
    with pytest.raises(ValueError, match="^max_detections: RPNHead has no such field"):
        with_head_limits(MODEL, "head", max_detections=7)
