"""Every neck under every head: a few steps on digits lower the loss.

The necks do not know what stands on them: detections are made on one of them.
"""

from functools import partial
from itertools import product

import jax
import numpy as np
import optax
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.compilation import call_once
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.heads.retinanet import RetinaNetHead
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.heads.yolov3 import YOLOv3Head
from fpn_jax.heads.yolox import YOLOXHead
from fpn_jax.necks.bifpn import BiFPN
from fpn_jax.necks.fpn import FPN
from fpn_jax.necks.pafpn import PAFPN
from fpn_jax.training.state import create_state, inference_variables
from fpn_jax.training.step import train_step
from tests.support.digit_batch import digit_batch
from tests.support.slow import slow_but

SIDE, STEPS = 64, 15
SIZES = ((8, 12), (16, 24))
NECKS = {
    "fpn": FPN(32, extra="none", norm="batch"),
    "pafpn": PAFPN(32, extra="none", norm="batch"),
    "bifpn": BiFPN(32, repeats=1, num_extra=0),
}
HEADS = {
    "rpn": RPNHead(anchor_sizes=SIZES, num_samples=32, pre_nms=50, post_nms=50),
    "retinanet": RetinaNetHead(
        10, anchor_sizes=SIZES, num_convs=1, score_threshold=0.01
    ),
    "fcos": FCOSHead(10, num_convs=1, score_threshold=0.01),
    "yolox": YOLOXHead(10, num_convs=1, score_threshold=1e-4),
    "yolov3": YOLOv3Head(
        10, anchor_shapes=(((6, 9), (9, 14)), ((16, 24), (24, 36))), score_threshold=0
    ),
}


# Every neck and every head once in the quick tests.
QUICK = {
    ("fpn", "rpn"),
    ("pafpn", "retinanet"),
    ("bifpn", "fcos"),
    ("fpn", "yolox"),
    ("fpn", "yolov3"),
}


@pytest.mark.parametrize("neck, head", slow_but(QUICK, product(NECKS, HEADS)))
def test_a_few_steps_lower_the_loss(neck, head):
    kind = ProposalNetwork if head == "rpn" else OneStage
    model = kind(Dummy(levels=(3, 4)), NECKS[neck], HEADS[head])
    optimizer = optax.adam(3e-3)
    state = call_once(
        partial(create_state, model, optimizer, canvas=(SIDE, SIDE), seed=0, ema=False)
    )
    batch = digit_batch((1, 2, 3, 4), SIDE)
    step = jax.jit(partial(train_step, model=model, optimizer=optimizer))
    losses = []
    for _ in range(STEPS):
        state, numbers = step(state, batch)
        losses.append(float(numbers["loss"]))
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.85 * losses[0]
    if neck != "fpn":
        return
    detect = jax.jit(partial(model.apply, method="detect"))
    found = detect(inference_variables(state), batch["images"], batch["sizes"])
    assert found.valid.any(axis=1).all()
    assert np.isfinite(found.boxes).all() and (found.boxes <= SIDE).all()
