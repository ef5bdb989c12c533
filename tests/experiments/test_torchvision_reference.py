"""The reference run: the parameters and anchors of the default job, weight decay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.torchvision_reference import (
    FasterRCNN,
    Proposals,
    make_optimizer,
    training_step,
)
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.training.config import OptimizerConfig
from fpn_jax.zoo.digits import digits_faster_rcnn, digits_proposal_network

torch, _ = import_torchvision()


def plain_faster_rcnn():
    """Returns the default job's detector without what it adds to torchvision's."""
    model = digits_faster_rcnn()
    return model.clone(
        neck=model.neck.clone(norm=None),
        box_head=model.box_head.clone(hidden_features=1024),
    )


@pytest.mark.parametrize(
    "ours, theirs",
    [(digits_proposal_network, Proposals), (plain_faster_rcnn, FasterRCNN)],
)
def test_both_networks_have_equal_parameters(ours, theirs):
    images, sizes = jnp.zeros((1, 320, 320, 3)), jnp.full((1, 2), 320)
    variables = jax.eval_shape(ours().init, jax.random.key(0), images, sizes)
    counted = sorted(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert counted == sorted(p.numel() for p in theirs().parameters())


def test_both_networks_have_equal_anchors():
    ours = digits_proposal_network()
    images, sizes = jnp.zeros((1, 320, 320, 3)), jnp.full((1, 2), 320)
    outputs = jax.eval_shape(ours.init_with_output, jax.random.key(0), images, sizes)[0]
    grids = {level: x.shape[1:3] for level, x in outputs.deltas.items()}
    our_anchors = ours.head.places(grids, canvas=(320, 320)).values()
    with torch.inference_mode():
        anchors, _, _, counts = Proposals()(torch.zeros(1, 3, 320, 320))
    assert counts == [len(level) for level in our_anchors]
    np.testing.assert_array_equal(anchors[0], np.concatenate(list(our_anchors)))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_acts_on_kernels_only(name):
    config = OptimizerConfig(name=name)

    kernels, rest = make_optimizer(FasterRCNN(), config).param_groups

    assert (kernels["weight_decay"], rest["weight_decay"]) == (1e-4, 0)
    assert all(p.ndim in (2, 4) for p in kernels["params"])
    assert all(p.ndim == 1 for p in rest["params"])


@pytest.mark.parametrize("detector", [Proposals, FasterRCNN])
def test_a_step_lowers_the_loss_of_its_batch_and_takes_empty_images(detector):
    torch.set_num_threads(1)  # two would wait for each other on a loaded machine
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    batch = {
        "images": rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8),
        "boxes": np.float32([[[8, 8, 40, 30]], [[0, 0, 0, 0]]]),
        "labels": np.array([[3], [0]], np.int32),
        "valid": np.array([[True], [False]]),
    }
    model = detector()
    optimizer = make_optimizer(model, OptimizerConfig("adamw", learning_rate=1e-3))

    losses = [training_step(model, optimizer, batch, "channels_last") for _ in range(8)]

    assert losses[-1] < losses[0] / 2
