"""Final detections of the detectors that the live reference lacks, beside their twins.

Cascade Mask R-CNN and RetinaNet, narrow, from pixels to boxes, with random weights that
are scaled until tens of boxes are found. Tolerances are those of torchvision's table.
"""

from functools import partial

import jax
import numpy as np
import pytest

from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.prove import TIES, count_ties, match_detections
from fpn_jax.parity.random_detectors import Scaled
from fpn_jax.types import Detections
from fpn_jax.weights.detectron2 import detector_from_detectron2
from fpn_jax.zoo import detectron2
from tests.support.cascade_twin import pool
from tests.support.detectron2_twins import (
    BGR_MEAN,
    CLASSES,
    TWINS,
    all_anchors,
    by_anchor,
    detectron2_state,
    images,
    narrow,
    their_proposals,
)

torch, torchvision = import_torchvision()

IMAGE = (90, 120)  # inside a canvas of 96 x 128
PROPOSALS = 60
# The standard deviation and the mean of a layer's outputs.
OUTPUTS = {
    "rpn.cls_logits": (0.7, 0.0),
    "rpn.bbox_pred": (0.15, 0.0),
    "mask.predictor": (2.0, 0.0),
    "retinanet.cls_score": (0.7, -4.0),
    "retinanet.bbox_pred": (0.15, 0.2),
}
OUTPUTS |= {
    f"cascade.{layer}": outputs
    for stage in range(3)
    for layer, outputs in (
        (f"box_head.{stage}.fc1", (1.0, 0.0)),
        (f"box_head.{stage}.fc2", (1.0, 0.0)),
        (f"box_predictor.{stage}.cls_score", (1.0, 0.0)),
        (f"box_predictor.{stage}.bbox_pred", (0.3, 0.0)),
    )
}


def cascade_detections(twin, pyramid) -> Detections:
    _, boxes = their_proposals(twin, pyramid, IMAGE, post_nms=PROPOSALS)
    levels = {level: x for level, x in pyramid.items() if level < 6}
    ((boxes, scores, labels),) = twin.heads["cascade"].detections(
        levels, [boxes], [IMAGE]
    )
    head, x = twin.heads["mask"], pool(levels, [boxes], 14)
    for i in range(1, 5):
        x = torch.relu(getattr(head, f"mask_fcn{i}")(x))
    masks = head.predictor(torch.relu(head.deconv(x))).sigmoid()
    masks = masks[torch.arange(len(labels)), labels] > 0.5
    return found(boxes, scores, labels, masks.numpy())


def retinanet_detections(twin, pyramid) -> Detections:
    coder = torchvision.models.detection._utils.BoxCoder((1.0, 1.0, 1.0, 1.0))
    head, candidates = twin.heads["retinanet"], []
    for level, x in pyramid.items():
        logits = by_anchor(head.cls_score(head.cls_subnet(x)), CLASSES)
        deltas = by_anchor(head.bbox_pred(head.bbox_subnet(x)), 4)
        sizes = [4 * 2**level * 2 ** (k / 3) for k in range(3)]
        anchors = all_anchors(sizes, level, x.shape[-2:])
        row, label = (logits.sigmoid() > 0.05).nonzero().unbind(1)
        best, index = logits.sigmoid()[row, label].topk(min(1000, len(row)))
        row, label = row[index], label[index]
        boxes = coder.decode_single(deltas[row], anchors[row])
        candidates.append((boxes, best, label))
    boxes, scores, labels = map(torch.cat, zip(*candidates, strict=True))
    keep = torchvision.ops.batched_nms(boxes, scores, labels, 0.5)[:100]
    boxes = torchvision.ops.clip_boxes_to_image(boxes[keep], IMAGE)
    seen = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    return found(boxes[seen], scores[keep][seen], labels[keep][seen])


def found(boxes, scores, labels, masks=None) -> Detections:
    arrays = (x.numpy() for x in (boxes, scores, labels))
    return Detections(*arrays, valid=np.ones(len(boxes), bool), masks=masks)


DETECT = {"cascade_mask_rcnn": cascade_detections, "retinanet": retinanet_detections}


@pytest.mark.parametrize("name", DETECT)
def test_final_detections_are_those_of_the_twin(name):
    twin = TWINS[name]()
    layers = dict(twin.heads.named_modules())
    hooks = [
        layers[layer].register_forward_hook(Scaled(*outputs))
        for layer, outputs in OUTPUTS.items()
        if layer in layers
    ]
    pixels = images().astype(np.float32)
    pixels[:, IMAGE[0] :] = pixels[:, :, IMAGE[1] :] = BGR_MEAN[::-1]
    with torch.no_grad():
        pyramid = twin.pyramid(pixels)
        DETECT[name](twin, pyramid)
        for hook in hooks:
            hook.remove()
        wanted = DETECT[name](twin, pyramid)

    detector = narrow(getattr(detectron2, name)(num_classes=CLASSES))
    if name == "cascade_mask_rcnn":
        detector = detector.clone(rpn=detector.rpn.clone(post_nms=PROPOSALS))
    variables = detector_from_detectron2(detectron2_state(twin), detector)
    detect = jax.jit(partial(detector.apply, method="detect"))
    ours = detect(variables, images(), np.array([IMAGE]))
    valid = np.asarray(ours.valid[0])
    ours = jax.tree.map(lambda x: np.asarray(x[0])[valid], ours)
    if ours.masks is not None:
        ours = ours.replace(masks=ours.masks > 0.5)
    assert 20 <= len(ours.scores) == len(wanted.scores)
    pairs = match_detections(ours, wanted)
    tied = count_ties(ours, wanted, pairs)
    assert len(pairs) + tied == len(wanted.scores) and tied <= TIES * len(pairs)
