"""Heads: a pyramid to raw outputs, their loss, and the detections in them.

One file is one section of a paper: network, targets, loss, decoding. A head is a Linen
module; its numbers, such as thresholds, are its fields. Boxes are xyxy, float32, in
pixels of the canvas; `sizes [B, 2]` is the height and width of each image inside the
canvas, (0, 0) for padding of the batch, which has no part in any loss; `canvas` is the
height and width that the pyramid was made of; `keys [B]` draw each image's samples.
Loss terms are sums with what they are divided by (`LossTerm`), named without the head.

**A dense head** says something of every place of every level:

    __call__(pyramid, *, train) -> outputs
    loss(outputs, sizes, targets, *, canvas, keys) -> dict[str, LossTerm]
    detections(outputs, sizes, *, canvas) -> Detections
    places(grids, *, canvas) -> {level: [N, 4] or [N, 2]}

`outputs` is a pytree of its own, with an entry [B, H, W, …] for each level. `places` is
what the outputs are relative to, anchors or points, in the order of the outputs, for
`grids`, {level: (rows, columns)}. `RPNHead` is one whose detections have no class:
it has `proposals(outputs, sizes, *, canvas, train) -> Proposals` in their place, more
of them in training. A detector with classes takes `num_classes` of its head. Only who
looks at anchors (the doctor, parity) calls `places`: it is not needed for training.

**A head on boxes** says something of boxes that are given to it:

    pool: RoIPool, which cuts the features of the boxes out of the pyramid
    __call__(pyramid, boxes, valid=None, *, canvas, train) -> outputs
    loss(outputs, samples, targets) -> dict[str, LossTerm]
    detections(outputs, found, sizes) -> Detections

and the first of them, the box head, which draws what all are trained on, has also

    num_classes: int, without a background
    sample(proposals, targets, sizes, *, keys) -> RoISamples
    positives(samples) -> RoISamples, fewer rows with all that are positive

The box heads of a cascade are one more each, and have besides

    match(boxes, valid, targets) -> RoISamples: of all these boxes, none drawn
    moved(outputs, boxes, sizes) -> boxes [B, R, 4] of the next stage

`boxes` are [B, R, 4]; rows that are not `valid` [B, R] are padding. In training they
are the boxes of `samples` (`RoISamples`), which the box head draws from proposals and
objects, positives first; the other heads are trained on its `positives` alone. `found`
are the `Proposals` for the box head; for the others, the `Detections` of the box head,
to which they add masks or keypoints.

The loss and what follows it are pure: of the methods, `__call__` alone has parameters.
"""

from fpn_jax.heads.box import BoxHead, BoxOutputs, RoISamples
from fpn_jax.heads.fcos import FCOSHead, FCOSOutputs
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.retinanet import RetinaNetHead, RetinaNetOutputs
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead, RPNOutputs
from fpn_jax.heads.yolov3 import YOLOv3Head, YOLOv3Outputs
from fpn_jax.heads.yolox import YOLOXHead, YOLOXOutputs

__all__ = [
    "BoxHead",
    "BoxOutputs",
    "FCOSHead",
    "FCOSOutputs",
    "KeypointHead",
    "MaskHead",
    "RPNHead",
    "RPNOutputs",
    "RetinaNetHead",
    "RetinaNetOutputs",
    "RoIPool",
    "RoISamples",
    "YOLOXHead",
    "YOLOXOutputs",
    "YOLOv3Head",
    "YOLOv3Outputs",
]
