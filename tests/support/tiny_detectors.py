"""A detector of every family, so small that its programs compile in a second or two."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.compilation import call_once
from fpn_jax.detectors.cascade import Cascade
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.retinanet import RetinaNetHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.heads.yolov3 import YOLOv3Head
from fpn_jax.heads.yolox import YOLOXHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.types import Targets

SIDE, BATCH, CLASSES, POINTS = 64, 2, 3, 4
OBJECTS, ROWS = 2, 3  # of an image; the last row is padding
_LEVELS = (3, 4)
_SIZES = ((8, 12), (16, 24))
_SHAPES = (((6, 9), (9, 14)), ((16, 24), (24, 36)))

_parts = {"backbone": Dummy(4, levels=_LEVELS), "neck": FPN(8, extra="none")}
_pool = RoIPool(size=3, levels=_LEVELS)
_rpn = RPNHead(
    anchor_sizes=_SIZES,
    num_samples=16,
    pre_nms=20,
    post_nms=12,
    training_pre_nms=20,
    training_post_nms=12,
)
_box_head = BoxHead(
    CLASSES,
    pool=_pool,
    hidden_features=8,
    num_samples=8,
    max_detections=4,
    score_threshold=0.0,
)
_mask_head = MaskHead(CLASSES, pool=_pool, num_convs=1, channels=8)
_stage = _box_head.clone(
    class_agnostic=True, pool=RoIPool(size=3, levels=_LEVELS, sampling_ratio=0)
)
_found = {"score_threshold": 0.0, "max_detections": 4}
_two_stage = partial(TwoStage, **_parts, rpn=_rpn, box_head=_box_head)
_dense = partial(OneStage, **_parts)

DETECTORS = {
    "faster": _two_stage(),
    "mask": _two_stage(mask_head=_mask_head),
    "cascade": Cascade(
        **_parts,
        rpn=_rpn,
        box_heads=(_stage, _stage.clone(positive_iou=0.6, negative_iou=0.6)),
        mask_head=_mask_head,
    ),
    "keypoint": _two_stage(
        keypoint_head=KeypointHead(POINTS, pool=_pool, num_convs=1, channels=8)
    ),
    "proposals": ProposalNetwork(**_parts, head=_rpn),
    "fast": FastRCNN(
        proposals=ProposalNetwork(**_parts, head=_rpn), **_parts, box_head=_box_head
    ),
    "retinanet": _dense(
        head=RetinaNetHead(CLASSES, anchor_sizes=_SIZES, num_convs=1, **_found)
    ),
    "fcos": _dense(head=FCOSHead(CLASSES, num_convs=0, **_found)),
    "yolox": _dense(head=YOLOXHead(CLASSES, num_convs=1, **_found)),
    "yolov3": _dense(head=YOLOv3Head(CLASSES, anchor_shapes=_SHAPES, **_found)),
}


def images_and_sizes(dtype: Any = np.uint8) -> tuple[jax.Array, jax.Array]:
    """Returns a batch of noise; the first image is smaller than its canvas."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH, SIDE, SIDE, 3)).astype(dtype)
    sizes = jnp.array([[SIDE - 8, SIDE - 16], [SIDE, SIDE]], jnp.int32)
    return jnp.asarray(images), sizes


def targets() -> Targets:
    """Returns two objects for each image, with masks and keypoints, and padding."""
    random = np.random.default_rng(1)
    corner = random.uniform(2, 20, (BATCH, ROWS, 2))
    boxes = np.concatenate([corner, corner + random.uniform(9, 24, corner.shape)], -1)
    valid = np.tile(np.arange(ROWS) < OBJECTS, (BATCH, 1))
    boxes *= valid[..., None]
    points = boxes[..., None, :2] + random.uniform(1, 8, (BATCH, ROWS, POINTS, 2))
    seen = np.full((*points.shape[:-1], 1), 2)
    arrays = Targets(
        boxes=boxes.astype(np.float32),
        labels=random.integers(0, CLASSES, (BATCH, ROWS)).astype(np.int32) * valid,
        valid=valid,
        crowd=np.zeros_like(valid),
        masks=np.tile(np.eye(8, dtype=np.uint8), (BATCH, ROWS, 1, 1)),
        mask_regions=boxes.astype(np.float32),
        keypoints=np.concatenate([points, seen], -1).astype(np.float32),
    )
    return jax.tree.map(jnp.asarray, arrays)


def variables_of(model) -> dict:
    return call_once(model.init, jax.random.key(0), *images_and_sizes())


def shapes_of(model) -> dict:
    """Returns the shapes of the detector's variables; computes nothing."""
    return jax.eval_shape(model.init, jax.random.key(0), *images_and_sizes())


def total_loss(model, variables, images, sizes, targets, keys) -> jax.Array:
    """Returns the sum of the terms, each divided as the training step divides it."""
    terms, _ = model.apply(
        variables,
        images,
        sizes,
        targets,
        keys=keys,
        train=True,
        method="loss",
        mutable=["batch_stats"],
    )
    losses = [term.total / jnp.maximum(term.count, 1) for term in terms.values()]
    return jnp.stack(losses).sum()
