"""What the command line offers of the models."""

import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.backbones.vgg import VGG
from fpn_jax.command_line import parse
from fpn_jax.train import main
from fpn_jax.training.config import Config
from fpn_jax.zoo.digits import digits_proposal_network


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


@pytest.mark.parametrize("kind", [ResNet, VGG])
def test_the_axis_of_pmap_is_no_setting(kind, tmp_path, capsys):
    experiment = tmp_path / "experiment.py"
    experiment.write_text(
        f"""
from {kind.__module__} import {kind.__name__}
from fpn_jax.zoo.digits import digits_proposal_network
from fpn_jax.training.config import Config


def get_config():
    return Config(model=digits_proposal_network().clone(backbone={kind.__name__}()))
"""
    )
    with pytest.raises(SystemExit, match="0"):
        main([str(experiment), "--help"])
    offered = capsys.readouterr().out
    assert "--model.backbone.depth" in offered
    assert "axis" not in offered
    with pytest.raises(SystemExit, match="2"):
        main([str(experiment), "--model.backbone.axis-name", "data"])
    assert "--model.backbone.axis-name" in capsys.readouterr().err
