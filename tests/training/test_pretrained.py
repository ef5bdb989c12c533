"""Where a run's weights come from before its first step."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.compilation import call_once
from fpn_jax.data.example import Category
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.retinanet import RetinaNetHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.config import (
    Config,
    DataConfig,
    TrainConfig,
)
from fpn_jax.training.config_file import check_resumable
from fpn_jax.training.conversion import exported
from fpn_jax.training.loop import train
from fpn_jax.training.pretrained import check_pretrained, with_pretrained
from fpn_jax.training.programs import make_programs
from fpn_jax.training.run import Run, load_run, save_run

CANVAS = (64, 64)


def config_of(num_classes: int, channels: int = 8, **train) -> Config:
    model = OneStage(
        Dummy(levels=(4, 5)),
        FPN(channels, extra="none"),
        RetinaNetHead(num_classes, anchor_sizes=((16,), (32,)), num_convs=1),
    )
    return Config(
        model=model,
        data=DataConfig(canvas=CANVAS, batch_size=8),
        train=TrainConfig(**train),
    )


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Returns a directory of weights for 3 classes, and the weights."""
    config = config_of(3)
    images, sizes = jnp.zeros((1, *CANVAS, 3)), jnp.array([CANVAS])
    variables = call_once(config.model.init, jax.random.key(7), images, sizes)
    place = tmp_path_factory.mktemp("runs") / "converted"
    categories = tuple(Category(i, str(i)) for i in range(3))
    save_run(place, Run(config, variables, 0, categories))
    return place, variables


def equal(a, b) -> bool:
    return bool((np.asarray(a) == np.asarray(b)).all())


def test_a_run_gives_all_its_weights_to_the_same_model(converted):
    place, variables = converted
    config = config_of(3, pretrained=(str(place),), ema_decay=0.9)
    state = with_pretrained(make_programs(config).init(), config)
    for params in (state.params, state.ema["params"]):
        assert all(jax.tree.leaves(jax.tree.map(equal, params, variables["params"])))


@pytest.mark.parametrize("norm, other", [("batch", "frozen"), ("frozen", "batch")])
def test_a_norm_of_the_other_kind_takes_scale_and_bias(tmp_path, norm, other):
    config = config_of(3)
    images, sizes = jnp.zeros((1, *CANVAS, 3)), jnp.array([CANVAS])
    model = config.model.clone(neck=config.model.neck.clone(norm=norm))
    variables = call_once(model.init, jax.random.key(7), images, sizes)
    variables = jax.tree.map(lambda x: np.full_like(x, 0.5), variables)
    categories = tuple(Category(i, str(i)) for i in range(3))
    run = Run(dataclasses.replace(config, model=model), variables, 0, categories)
    save_run(tmp_path / "run", run)

    config = config_of(3, pretrained=(str(tmp_path / "run"),))
    model = config.model.clone(neck=config.model.neck.clone(norm=other))
    config = dataclasses.replace(config, model=model)
    state = with_pretrained(make_programs(config).init(), config)
    leaves = jax.tree.leaves((state.params, state.collections))
    assert all(np.all(leaf == 0.5) for leaf in leaves)


def falling(steps):
    return optax.sgd(optax.linear_schedule(1e-2, 0.0, steps))


def test_weights_are_had_without_consent_to_an_optimizer(converted, tmp_path):
    _, variables = converted
    config = dataclasses.replace(config_of(3), optimizer=falling)
    save_run(tmp_path / "run", Run(config, variables, 0, ()))
    assert load_run(tmp_path / "run").config == config_of(3)
    assert exported(tmp_path / "run").state_dict


def test_other_classes_start_their_layers_anew_and_are_told(converted, caplog):
    place, variables = converted
    config = config_of(5, pretrained=(str(place),))
    before = make_programs(config).init()
    state = with_pretrained(make_programs(config).init(), config)
    head, old = state.params["head"], variables["params"]["head"]
    assert equal(head["box_deltas"]["kernel"], old["box_deltas"]["kernel"])
    fresh = before.params["head"]["class_logits"]["kernel"]
    assert equal(head["class_logits"]["kernel"], fresh)
    assert "no weights for 2 of" in caplog.text


def test_modules_of_other_classes_are_said_to_need_the_model_of_the_run(converted):
    place, _ = converted
    config = config_of(3, pretrained=(str(place),))
    other = config.model.clone(backbone=ResNet(18, width=4, levels=(4, 5)))
    with pytest.raises(ValueError, match="no options .*load_config.*converted"):
        check_pretrained(dataclasses.replace(config, model=other))


def test_a_path_that_leads_nowhere_is_found_before_the_data():
    with pytest.raises(ValueError, match="no run or file of weights 'none.pth'"):
        check_pretrained(config_of(3, pretrained=("none.pth",)))
    with pytest.raises(ValueError, match="'https://a.b/c', which is an address"):
        check_pretrained(config_of(3, pretrained=("https://a.b/c",)))


def test_a_run_of_another_architecture_is_refused(converted):
    place, _ = converted
    config = config_of(3, channels=16, pretrained=(str(place),))
    # The backbone fits; of an unlike one nothing does.
    assert with_pretrained(make_programs(config).init(), config)
    narrow = config.model.clone(
        backbone=Dummy(width=4, levels=(4, 5)),
        head=RetinaNetHead(
            4, anchor_sizes=((16,), (32,)), anchor_ratios=(1.0,), num_convs=0
        ),
    )
    narrow = dataclasses.replace(config, model=narrow)
    with pytest.raises(
        ValueError, match="fits little"
    ):  # already before a state is made
        check_pretrained(narrow)
    little = "fits little .* backbone 0 of 18, .*would fit: .*--model.backbone.width 8"
    with pytest.raises(ValueError, match=little):
        with_pretrained(make_programs(narrow).init(), narrow)


def test_what_is_never_trained_must_be_given(converted):
    place, _ = converted
    proposals = ProposalNetwork(
        Dummy(levels=(3,)), FPN(8, extra="none"), RPNHead(anchor_sizes=((8,),))
    )
    model = FastRCNN(
        proposals=proposals,
        backbone=Dummy(levels=(4, 5)),
        neck=FPN(8, extra="none"),
        box_head=BoxHead(3, pool=RoIPool(levels=(4,)), hidden_features=8),
    )
    config = dataclasses.replace(config_of(3, pretrained=(str(place),)), model=model)
    with pytest.raises(ValueError, match="proposals of this model is never trained"):
        with_pretrained(make_programs(config).init(), config)


def test_converted_weights_are_no_training_to_continue(converted):
    place, _ = converted
    with pytest.raises(ValueError, match="--train.pretrained"):
        check_resumable(config_of(3), place)


class Whole(nn.Module):
    """A detector that is not made of a backbone and others."""

    num_classes: int = 3


def test_a_file_of_a_backbone_has_no_place_in_a_model_without_one(tmp_path):
    file = str(tmp_path / "x.pth")
    config = Config(model=Whole(), train=TrainConfig(pretrained=(file,)))
    with pytest.raises(ValueError, match="x.pth' is no run, .* has no backbone"):
        with_pretrained(None, config)


def test_converted_weights_are_named_before_a_setting_of_theirs(converted):
    place, _ = converted
    config = config_of(3)
    data = dataclasses.replace(config.data, canvas=(800, 1333))
    with pytest.raises(ValueError, match="holds weights alone, no training to"):
        train(dataclasses.replace(config, data=data), place)
