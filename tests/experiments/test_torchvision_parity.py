"""The detector that is run again on torchvision's proposals."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.torchvision_parity import GivenProposals
from fpn_jax.zoo.torchvision import TORCHVISION


def test_given_proposals_stand_in_the_place_of_an_rpn():
    boxes = np.array([[4, 4, 40, 60], [0, 0, 30, 30]], np.float32)
    detector = TORCHVISION["fasterrcnn_resnet50_fpn"]().clone(rpn=GivenProposals(boxes))
    images, sizes = jnp.zeros((1, 64, 64, 3), jnp.uint8), jnp.array([[64, 64]])
    outputs, _ = jax.eval_shape(
        detector.init_with_output, jax.random.key(0), images, sizes
    )
    assert outputs.box.logits.shape == (1, 2, 91)  # of the two boxes
    assert outputs.rpn is None
