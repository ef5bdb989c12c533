"""Compositions of a backbone, a neck and heads; what each owes the others.

All are Linen modules. Arrays are NHWC; a `Pyramid` maps a level l to features of stride
2**l, [B, H / 2**l, W / 2**l, C]; only C6 of `MobileNetV3` has the stride of C5. Boxes
are xyxy, float32, in pixels of the canvas.

- A **backbone** has `__call__(pixels, *, train) -> Pyramid`: normalized pixels
  [B, H, W, 3], whose sides its coarsest stride divides, to some of the levels. It may
  have `frozen`, the names of the submodules that no step changes.
- A **neck** has `__call__(pyramid, *, train) -> Pyramid`: all its levels have the same
  number of channels, unless the head's `takes_any_channels` is True. Levels may be
  added above the top one, and left out.
- A **dense head** and the **heads on boxes** are described in `fpn_jax.heads`.
- A **detector** is `contract.Detector`. `images [B, H, W, 3]` are RGB, uint8 or float32
  in 0 … 255; `sizes [B, 2]` is the height and width of each image inside the canvas, at
  its upper left, (0, 0) for padding of the batch, which has no part in any loss.
  `__call__` creates every variable. `loss` gives sums and counts (`LossTerm`), which
  the step divides after it has added them over the devices. `num_classes`, `loss` and
  `detect` are needed; `measures`, `frozen`, `first_stage` and `pool` have defaults
  (`contract.facts`), and without `with_thresholds` its limits cannot be changed.
- Its **first stage** is what the doctor holds against the boxes of a data set: a dense
  head with the fields `anchor_sizes` (a tuple for each level) and `anchor_ratios`, and
  `places`. Only of a detector with `backbone`, `neck`, `image_mean` and `image_std` are
  the levels known that it sees.

Ours compute the same under JAX's switches: double precision (types stay float32 and
int32), strict promotion of types and ranks, every generator of keys and the checker of
their reuse, `jax_debug_nans`, in a `jax.shard_map`, on explicit mesh axes, without
jit, and exported for a symbolic number of images. Detections have a gradient to the
pixels: which rows are kept is fixed, and proposals are taken as they are.

A module of your own may have any collection of variables besides `params` (training
carries them along), and draw from any stream of random numbers by `make_rng` when
`train` is True. Frozen parts are given `train`, too, and use it as they are written;
but what a step writes into their variables, of any collection, is dropped. Under pmap a
step ends with the mean over the devices of what each wrote (floating point; of other
numbers with the first device's).
"""

from fpn_jax.detectors.cascade import Cascade
from fpn_jax.detectors.contract import Detector, Facts, facts
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.detectors.feature_extractor import FeatureExtractor
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.detectors.two_stage import TwoStage

__all__ = [
    "Cascade",
    "Detector",
    "Facts",
    "FastRCNN",
    "FeatureExtractor",
    "OneStage",
    "ProposalNetwork",
    "TwoStage",
    "facts",
]
