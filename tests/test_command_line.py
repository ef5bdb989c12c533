"""What the command line offers of the models."""

import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.backbones.vgg import VGG
from fpn_jax.command_line import parse
from fpn_jax.detectors.zoo import digits_proposal_network
from fpn_jax.training.config import Config


@pytest.mark.parametrize("kind", [ResNet, VGG, Dummy])
@pytest.mark.parametrize("part", ["backbone", "neck", "head"])
def test_the_precision_of_each_part_is_a_setting(kind, part):
    default = Config(model=digits_proposal_network().clone(backbone=kind()))
    arguments = [f"--model.{part}.dtype", "bfloat16"]
    config = parse(Config, arguments, command="train", default=default)
    assert getattr(config.model, part).dtype == "bfloat16"
    others = {"backbone", "neck", "head"} - {part}
    assert {getattr(config.model, other).dtype for other in others} == {None}


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'bfloat15'.*backbone.dtype.*'bfloat16'"):
        parse(Config, ["--model.backbone.dtype", "bfloat15"], command="train")
