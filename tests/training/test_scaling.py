"""Weak scaling: what a step over 1, 2, 4 and 8 devices computes, and sends."""

import math
import re
from functools import partial

import jax
import optax
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.step import AXIS, shardings, train_step
from tests.support.small_training import batch_of, difference, initial_state

PER_DEVICE = 2  # images
MODEL = ProposalNetwork(
    Dummy(),
    FPN(channels=8),
    RPNHead(anchor_sizes=((8,), (16,), (32,), (48,), (64,)), num_samples=32),
)
OPTIMIZER = optax.sgd(0.01, momentum=0.9)
STEP = partial(train_step, model=MODEL, optimizer=OPTIMIZER)


def compiled_over(devices: int, start, batch: dict):
    """Returns the compiled step over the first devices, and the shardings of it."""
    mesh = jax.make_mesh((devices,), (AXIS,), devices=jax.devices()[:devices])
    copied, split = shardings(mesh)
    step = jax.jit(STEP, in_shardings=(copied, split), out_shardings=(copied, copied))
    return step.lower(start, batch).compile(), copied, split


def all_reduces(text: str) -> list[int]:
    """Returns the bytes of each all-reduce in a program, all float32."""
    found = re.findall(r"= (.*) all-reduce(?:-start)?\(", text)
    shapes = [re.findall(r"f32\[([\d,]*)\]", result) for result in found]
    return [
        sum(4 * math.prod(map(int, filter(None, shape.split(",")))) for shape in each)
        for each in shapes
    ]


FEW = [pytest.param(devices, marks=pytest.mark.slow) for devices in (2, 4)]


@pytest.mark.parametrize("devices", [1, *FEW, 8])
def test_devices_share_a_step_by_one_sum_of_all_gradients(devices):
    batch = batch_of(devices, devices * PER_DEVICE)
    start = jax.device_get(initial_state(MODEL, OPTIMIZER))
    program, copied, split = compiled_over(devices, start, batch)
    state, losses = program(jax.device_put(start, copied), jax.device_put(batch, split))
    alone, expected = jax.jit(STEP)(start, batch)
    assert difference(state.params, start.params) > 1e-4
    assert difference(state.params, alone.params) <= 1e-6
    assert difference(losses, expected) <= 1e-5
    sent = all_reduces(program.as_text())
    if devices == 1:
        assert not sent
        return
    # The counts that losses are divided by are summed before the gradients can be.
    *counts, gradients = sorted(sent)
    assert len(counts) <= 1 and sum(counts) <= 64
    params = 4 * sum(leaf.size for leaf in jax.tree.leaves(start.params))
    # XLA sums the part of each of five levels in the gradient of the shared kernel of
    # the head before it adds them: 4 more of it, and the losses.
    shared = 4 * start.params["head"]["conv0"]["kernel"].size
    assert params <= gradients <= params + 5 * shared + 64


def test_bytes_are_read_from_a_program():
    text = "%a = (f32[3,8]{1,0}, f32[]) all-reduce(%x, %y), to_apply=%add"
    assert all_reduces(text) == [4 * (24 + 1)]
    assert all_reduces("%b = f32[16]{0} all-reduce-start(%x)\n%c = f32[2] add(%x)") == [
        64
    ]
