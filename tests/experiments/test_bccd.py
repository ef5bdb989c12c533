"""The detectors of blood cells are the same in both libraries."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import bccd_torchvision
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.training import load_experiment

torch, torchvision = import_torchvision()

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.pth"
    torch.save(torchvision.models.mobilenet_v2().state_dict(), path)
    return path


@pytest.mark.parametrize("name", bccd_torchvision.DETECTORS)
def test_both_networks_have_equal_parameters_and_places(weights, name):
    config = load_experiment(EXPERIMENTS / f"bccd_{name}.py")
    model, canvas = config.model, config.data.canvas
    images, sizes = jnp.zeros((1, *canvas, 3)), jnp.array([canvas])
    outputs, variables = jax.eval_shape(
        model.init_with_output, jax.random.key(0), images, sizes
    )
    theirs = bccd_torchvision.DETECTORS[name](weights, canvas)
    counted = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert counted == sum(p.numel() for p in theirs.parameters())

    dense = outputs.rpn if name == "faster_rcnn" else outputs
    head = model.rpn if name == "faster_rcnn" else model.head
    grids = {level: x.shape[1:3] for level, x in dense.deltas.items()}
    ours = head.places(grids, canvas=canvas).values()
    generator = (theirs.rpn if name == "faster_rcnn" else theirs).anchor_generator
    maps = [torch.zeros(1, 1, *grid) for grid in grids.values()]
    batch = torchvision.models.detection.image_list.ImageList(
        torch.zeros(1, 3, *canvas), [canvas]
    )
    (anchors,) = generator(batch, maps)
    # A point of FCOS is the center of an anchor there.
    places = anchors if name == "faster_rcnn" else (anchors[:, :2] + anchors[:, 2:]) / 2
    np.testing.assert_array_equal(places, np.concatenate(list(ours)))


def test_as_many_parameters_are_frozen(weights):
    model = load_experiment(EXPERIMENTS / "bccd_faster_rcnn.py").model
    theirs = bccd_torchvision.backbone(weights, channels=256)
    frozen = sum(p.numel() for p in theirs.parameters() if not p.requires_grad)
    pixels = jnp.zeros((1, 64, 64, 3))
    params = jax.eval_shape(model.backbone.init, jax.random.key(0), pixels)["params"]
    ours = jax.tree.leaves([params[stage] for stage in model.backbone.frozen])
    assert sum(leaf.size for leaf in ours) == frozen > 0
