"""What tests of whole detectors beside torchvision's share."""

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()
detection = torchvision.models.detection

ALL = 1_000_000  # samples: more than there are anchors


class Prepared(torch.nn.Module):
    """In the place of a model's transform: takes the canvas, and leaves boxes there."""

    def forward(self, images, targets=None):
        return detection.image_list.ImageList(torch.stack(images), self.sizes), targets

    def postprocess(self, result, *_):
        return result


def on_device(*trees):
    return jax.tree.map(jnp.asarray, trees)


def close(ours, theirs, relative: float) -> None:
    assert largest_difference(ours, theirs) <= relative


def largest_difference(ours, theirs) -> float:
    """Returns the largest difference, as a share of the largest value."""
    difference = np.abs(np.asarray(ours) - np.asarray(theirs)).max()
    return float(difference / np.abs(theirs).max())
