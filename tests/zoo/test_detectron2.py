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
PARAMETERS |= {
    # A network of its own proposes.
    "fast_rcnn_R_50_FPN": PARAMETERS["rpn_R_50_FPN"]
    + PARAMETERS["faster_rcnn_R_50_FPN"]
    - 593_935,
}
# Two stages more, each with 81 classes; and of three boxes, one for all classes each.
STAGES = 2 * (13_895_680 + 81 * (1024 + 1)) + (3 - 81) * 4 * (1024 + 1)
PARAMETERS |= {
    "cascade_rcnn_R_50_FPN": PARAMETERS["faster_rcnn_R_50_FPN"] + STAGES,
    "cascade_mask_rcnn_R_50_FPN": PARAMETERS["mask_rcnn_R_50_FPN"] + STAGES,
}
# Of the convolutions of a backbone.
BODIES = {"R_50": 23_454_912, "R_101": 42_394_816, "X_101_32x8d": 86_539_456}


def count(module, *inputs):
    params = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_of_the_zoo(name):
    x, sizes = np.zeros((1, 64, 64, 3), np.float32), np.full((1, 2), 64)
    assert count(detectron2.DETECTRON2[name](), x, sizes) == PARAMETERS[name]


@pytest.mark.parametrize("body", BODIES)
def test_the_backbones_are_the_ones_they_are_called(body):
    backbone = detectron2.DETECTRON2[f"faster_rcnn_{body}_FPN"]().backbone
    assert count(backbone, np.zeros((1, 32, 32, 3), np.float32)) == BODIES[body]


@pytest.mark.parametrize("name", detectron2.DETECTRON2)
def test_detectors_of_one_name_differ_in_their_backbones_alone(name):
    (body,) = {key for key in BODIES if f"_{key}_FPN" in name}
    detector = detectron2.DETECTRON2[name]()
    on_r_50 = detectron2.DETECTRON2[name.replace(body, "R_50")]()
    levels = on_r_50.backbone.levels
    backbone = detectron2.DETECTRON2[f"mask_rcnn_{body}_FPN"]().backbone
    assert detector.backbone == backbone.clone(levels=levels)
    changes = {"backbone": on_r_50.backbone, "image_std": on_r_50.image_std}
    if name.startswith("fast_"):
        changes["proposals"] = on_r_50.proposals
    assert detector.clone(**changes) == on_r_50


def test_the_zoo_is_complete():
    kinds = {name.replace("_R_50_FPN", "") for name in PARAMETERS}
    on_resnets = {f"{kind}_R_{depth}_FPN" for kind in kinds for depth in (50, 101)}
    on_resnext = {
        f"{kind}_X_101_32x8d_FPN" for kind in kinds - {"rpn", "fast_rcnn", "retinanet"}
    }
    assert detectron2.DETECTRON2.keys() == on_resnets | on_resnext


def test_a_resnext_has_the_stride_in_its_3x3_and_pixels_of_variance_1():
    ours, published = (
        detectron2.DETECTRON2[f"mask_rcnn_{name}_FPN"]()
        for name in ("X_101_32x8d", "R_101")
    )
    assert not ours.backbone.stride_in_1x1 and published.backbone.stride_in_1x1
    assert ours.image_std == (0.229, 0.224, 0.225)
    np.testing.assert_allclose(published.image_std, [1 / 255] * 3)


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


def test_boxes_of_retinanet_outside_the_image_are_dropped():
    # The second cell's square, moved by twice its side to the right, ends outside.
    head = detectron2.retinanet(num_classes=1).head.clone(
        anchor_sizes=((32,),), anchor_ratios=(1.0,)
    )
    outputs = RetinaNetOutputs(
        logits={3: jnp.array([1.0, 2.0]).reshape(1, 1, 2, 1)},
        deltas={3: jnp.zeros((1, 1, 2, 4)).at[0, 0, 1, 0].set(2.0)},
    )
    found = head.detections(outputs, jnp.array([[8, 16]]), canvas=(8, 16))
    assert found.valid.sum() == 1
    np.testing.assert_array_equal(found.boxes[found.valid], [[0, 0, 16, 8]])
    assert not found.scores[~found.valid].any()
