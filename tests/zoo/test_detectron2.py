"""The detectors of Detectron2's zoo: their sizes, and what is theirs alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.retinanet import RetinaNetOutputs
from fpn_jax.zoo import detectron2

# Those of torchvision without norms, less what belongs to the ten unused ids of COCO:
# an output of the class, four deltas and a mask each; in RetinaNet the background too,
# for each of nine anchors, and P6 is made of the 2048 channels of C5.
UNUSED = 10 * 5 * (1024 + 1)
PARAMETERS = {
    "rpn_R_50_FPN": 23_454_912 + 3_344_384 + 593_935,
    "faster_rcnn_R_50_FPN": 41_755_286 - UNUSED,
    "mask_rcnn_R_50_FPN": 44_401_393 - UNUSED - 10 * (256 + 1),
    "keypoint_rcnn_R_50_FPN": 59_137_258,
    "retinanet_R_50_FPN": 34_014_999 - 99 * (2304 + 1) + 2304 * (2048 - 256),
}
RESNET_101_OVER_50 = 42_394_816 - 23_454_912


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("depth, more", [(50, 0), (101, RESNET_101_OVER_50)])
def test_parameter_counts_of_the_zoo(name, depth, more):
    detector = detectron2.DETECTRON2[name.replace("50", str(depth))]()
    x, sizes = np.zeros((1, 64, 64, 3), np.float32), np.full((1, 2), 64)
    params = jax.eval_shape(detector.init, jax.random.key(0), x, sizes)["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count == PARAMETERS[name] + more


@pytest.mark.parametrize("clipped, kept", [(False, 2), (True, 1)])
def test_boxes_of_retinanet_meet_in_suppression_before_they_are_clipped(clipped, kept):
    # Squares of 32 px around two cells, 8 px apart: their IoU is 24 / 40. What is left
    # of them inside the image is the same.
    head = detectron2.retinanet(num_classes=1).head.clone(
        anchor_sizes=((32,),), anchor_ratios=(1.0,), nms_threshold=0.7, clipped=clipped
    )
    outputs = RetinaNetOutputs(
        logits={3: jnp.full((1, 1, 2, 1), 2.0)}, deltas={3: jnp.zeros((1, 1, 2, 4))}
    )
    found = head.detections(outputs, jnp.array([[8, 16]]), canvas=(8, 16))
    assert found.valid.sum() == kept
    boxes = found.boxes[found.valid]
    np.testing.assert_array_equal(boxes, [[0, 0, 16, 8]] * kept)
