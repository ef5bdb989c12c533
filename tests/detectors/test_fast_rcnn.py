"""Proposals from a run, never trained; a box head on another backbone that is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.compilation import call_once
from fpn_jax.data.example import Category
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.config import Config, DataConfig, OptimizerConfig, TrainConfig
from fpn_jax.training.pretrained import with_pretrained
from fpn_jax.training.programs import make_programs
from fpn_jax.training.run import Run, save_run
from fpn_jax.training.state import inference_variables
from tests.support.digit_batch import digit_batch

SIDE = 64
PROPOSALS = ProposalNetwork(
    Dummy(levels=(3, 4)),
    FPN(8, extra="none", norm="batch"),
    RPNHead(
        anchor_sizes=((8,), (16,)),
        pre_nms=40,
        post_nms=40,
        training_pre_nms=60,
        training_post_nms=60,
    ),
)
MODEL = FastRCNN(
    proposals=PROPOSALS,
    backbone=Dummy(levels=(4,)),
    neck=FPN(8, extra="none", norm="batch"),
    box_head=BoxHead(10, pool=RoIPool(levels=(4,)), hidden_features=16, num_samples=32),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The weights of a run of proposals, the states before and after two steps, and
    the losses of the second."""
    images, sizes = jnp.zeros((1, SIDE, SIDE, 3)), jnp.full((1, 2), SIDE)
    variables = call_once(PROPOSALS.init, jax.random.key(7), images, sizes)
    run = tmp_path_factory.mktemp("runs") / "proposals"
    data = DataConfig(canvas=(SIDE, SIDE), batch_size=8)
    config = Config(model=PROPOSALS, data=data)
    save_run(run, Run(config, variables, 0, (Category(1, "digit"),)))
    config = Config(
        model=MODEL,
        data=data,
        optimizer=OptimizerConfig("adamw", 1e-3, weight_decay=0.1, warmup_steps=0),
        train=TrainConfig(steps=10, pretrained=(str(run),)),
    )
    programs = make_programs(config)
    start = with_pretrained(programs.init(), config)
    before = jax.device_get(start)
    state = start
    for _ in range(2):
        state, losses = programs.train(state, digit_batch(tuple(range(1, 9)), SIDE))
    return variables, before, jax.device_get(state), jax.device_get(losses)


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_the_run_of_proposals_gives_their_weights_and_no_others(trained):
    variables, before, _, _ = trained
    assert_equal(before.params["proposals"], variables["params"])
    assert_equal(
        before.collections["batch_stats"]["proposals"], variables["batch_stats"]
    )
    ours = before.params["backbone"]["stem"]["kernel"]
    assert (ours != variables["params"]["backbone"]["stem"]["kernel"]).any()


def test_training_changes_everything_but_the_proposals(trained):
    _, before, after, losses = trained
    assert_equal(before.params["proposals"], after.params["proposals"])
    assert_equal(
        before.collections["batch_stats"]["proposals"],
        after.collections["batch_stats"]["proposals"],
    )
    for name in ("backbone", "neck", "box_head"):
        kernels = jax.tree.map(
            lambda a, b: (a != b).any(), before.params[name], after.params[name]
        )
        assert any(jax.tree.leaves(kernels))
    assert (
        before.collections["batch_stats"]["neck"]["lateral4"]["norm"]["mean"]
        != after.collections["batch_stats"]["neck"]["lateral4"]["norm"]["mean"]
    ).any()
    assert {"loss/class", "loss/box"} <= losses.keys() and np.isfinite(losses["loss"])


def test_detections_are_made_of_the_networks_own_proposals(trained):
    variables, _, after, _ = trained
    batch = digit_batch((1, 2), SIDE)
    arrays = batch["images"], batch["sizes"]
    model = MODEL.clone(box_head=MODEL.box_head.clone(score_threshold=0.0))
    outputs = jax.jit(model.apply)(inference_variables(after), *arrays)
    propose = jax.jit(lambda *x: PROPOSALS.apply(*x, method="propose"))
    expected = propose(variables, *arrays)
    assert_equal(outputs.proposals, expected)
    assert outputs.box.logits.shape == (2, 40, 11)
    detect = jax.jit(lambda *x: model.apply(*x, method="detect"))
    found = detect(inference_variables(after), *arrays)
    assert found.valid.any() and (found.boxes <= SIDE).all()
