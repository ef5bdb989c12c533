"""torchvision's detectors that correspond to ours."""

from fpn_jax.parity.layouts import numpy_state
from fpn_jax.parity.torchvision_detectors import (
    detector_of_weights,
    torchvision_detector,
)
from fpn_jax.zoo.torchvision import TORCHVISION

MOBILE = "fasterrcnn_mobilenet_v3_large_320_fpn"


def test_the_counterpart_has_the_weights_the_classes_and_the_epsilon_of_ours():
    theirs = torchvision_detector(MOBILE, num_classes=4)
    ours = TORCHVISION[MOBILE](num_classes=3)
    ours = ours.clone(backbone=ours.backbone.clone(norm_epsilon=1e-3))
    model = detector_of_weights(MOBILE, numpy_state(theirs), ours)
    assert not model.training
    assert len(model.roi_heads.box_predictor.cls_score.bias) == 4
    for name, value in theirs.state_dict().items():
        assert (model.state_dict()[name] == value).all(), name
    norms = [m for m in model.backbone.body.modules() if hasattr(m, "eps")]
    assert {norm.eps for norm in norms} == {1e-3}
