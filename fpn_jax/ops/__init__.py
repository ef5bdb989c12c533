"""Pure functions on arrays: the arithmetic of detectors, without parameters.

They know jax and nothing of Flax, configs or files. Boxes are xyxy, float32, in pixels
of the canvas. Shapes are static: rows that are padding are marked by a mask `valid`,
and change no result. A function is written for one image, or for any batch axes `*b`;
callers `vmap` the former. Operators on feature maps take the whole batch: on a TPU how
they work depends on how many images a device has. Where a function has several
formulations, they stand side by side in its file and give the same.

- boxes: `area`, `pairwise_iou`, `iou`, `giou`, `clip`; deltas and distances to and fro
- anchors: anchors [N, 4] and points [N, 2] of a grid, a level, a pyramid; rows of the
  grid come first, then its columns, then the anchors of a cell
- matching, sampling: which anchor learns which object, and which of them count
- cells: a few of the many cells of a feature map, and the maxima of all
- nms, top_pairs: what is kept of many candidates, a fixed number of rows
- roi_align: features [N, size, size, C] of boxes, cut out of a map or of a pyramid
- losses, masks, keypoints: what is learned, element by element, not summed
- anchor_losses: the class loss of all anchors of a level, summed
- images: `normalize`, of uint8 or float pixels in 0 … 255
- objects: `learnable`, the ground truth without what its padding holds
- meshes: what loops and gathers must say in a `shard_map` and under explicit axes
- depthwise: the convolution of a filter for each channel
- small_tables: rows of the few objects of an image, for many anchors
- pooling, upsampling: half and twice the grid of a feature map
- strips, quads: for a TPU, images cut into strips that fill its batch of eight, and a
  stem on squares of pixels
- strides: every n-th pixel
- platforms: formulations of one function, chosen where a program is lowered
- onnx_operators: formulations that are operators of ONNX, for its files alone
"""

from fpn_jax.ops.anchors import (
    anchor_rows,
    anchor_rows_at,
    cell_anchors,
    level_anchors,
    level_points,
    level_strides,
    pyramid_anchors,
    pyramid_points,
)
from fpn_jax.ops.boxes import (
    area,
    clip,
    decode_deltas,
    decode_ltrb,
    encode_deltas,
    encode_ltrb,
    giou,
    iou,
    pairwise_iou,
)
from fpn_jax.ops.depthwise import depthwise_convolution
from fpn_jax.ops.images import normalize
from fpn_jax.ops.keypoints import decode_keypoints, keypoint_targets
from fpn_jax.ops.losses import focal, smooth_l1
from fpn_jax.ops.masks import mask_targets
from fpn_jax.ops.matching import (
    Assignment,
    match_by_center,
    match_by_cost,
    match_by_iou,
)
from fpn_jax.ops.nms import nms, select_detections
from fpn_jax.ops.objects import learnable
from fpn_jax.ops.pooling import max_filter, max_pool
from fpn_jax.ops.roi_align import assign_levels, pyramid_roi_align, roi_align
from fpn_jax.ops.sampling import Sample, balanced_sample
from fpn_jax.ops.top_pairs import top_anchor_classes, top_pairs
from fpn_jax.ops.upsampling import upsample2x, upsample_to

__all__ = [
    "Assignment",
    "Sample",
    "anchor_rows",
    "anchor_rows_at",
    "area",
    "assign_levels",
    "balanced_sample",
    "cell_anchors",
    "clip",
    "decode_deltas",
    "decode_keypoints",
    "decode_ltrb",
    "depthwise_convolution",
    "encode_deltas",
    "encode_ltrb",
    "focal",
    "giou",
    "iou",
    "keypoint_targets",
    "learnable",
    "level_anchors",
    "level_points",
    "level_strides",
    "mask_targets",
    "match_by_center",
    "match_by_cost",
    "match_by_iou",
    "max_filter",
    "max_pool",
    "nms",
    "normalize",
    "pairwise_iou",
    "pyramid_anchors",
    "pyramid_points",
    "pyramid_roi_align",
    "roi_align",
    "select_detections",
    "smooth_l1",
    "top_anchor_classes",
    "top_pairs",
    "upsample2x",
    "upsample_to",
]
