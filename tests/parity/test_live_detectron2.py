"""Whole detectors of Detectron2's zoo beside the live reference, with random weights.

RoIAlign samples adaptively on both sides, and the tolerances are those of torchvision's
table: 0.05 px, 1e-4 of score, masks' IoU 0.99, keypoints 0.1 px.
"""

import jax
import numpy as np
import pytest

from fpn_jax.benchmarks.inputs import photograph
from fpn_jax.parity.live_detectron2 import (
    LIVE,
    detectron2_state,
    lively_detectron2,
    run_detectron2,
)
from fpn_jax.parity.prove import TIES, count_ties, match_detections
from fpn_jax.weights.detectron2 import detector_from_detectron2
from fpn_jax.zoo.detectron2 import DETECTRON2

QUICK = "mask_rcnn_R_50_FPN"
PROPOSALS = 200


def rows_of(found, image):
    """Returns one image's detections without padding; masks as they are thresholded."""
    valid = np.asarray(found.valid[image])
    found = jax.tree.map(lambda x: np.asarray(x[image])[valid], found)
    masks = None if found.masks is None else found.masks > 0.5
    return found.replace(masks=masks)


@pytest.mark.parametrize(
    "name",
    [QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in LIVE if n != QUICK)],
)
def test_detections_are_those_of_the_live_reference(name):
    pytest.importorskip("mayaku", reason="the live reference is not installed")
    image = photograph((110, 170))
    theirs = lively_detectron2(name, [image], post_nms=PROPOSALS)
    detector = DETECTRON2[name]()
    detector = detector.clone(rpn=detector.rpn.clone(post_nms=PROPOSALS))
    variables = detector_from_detectron2(detectron2_state(theirs), detector)

    def detect(variables, images, sizes):
        return detector.apply(variables, images, sizes, method="detect")

    # A canvas larger than the image, as the reference makes it by itself.
    canvas = np.zeros((1, 128, 192, 3), np.uint8)
    canvas[0, :110, :170] = image
    sizes = np.array([[110, 170]], np.int32)
    found = rows_of(jax.jit(detect)(variables, canvas, sizes), 0)
    (wanted,) = run_detectron2(theirs, [image])
    masks = None if wanted.masks is None else wanted.masks > 0.5
    wanted = wanted.replace(masks=masks)
    assert len(found.scores) == len(wanted.scores) >= 10
    pairs = match_detections(found, wanted)
    tied = count_ties(found, wanted, pairs)
    assert len(pairs) + tied == len(wanted.scores)
    assert tied <= TIES * len(pairs)
