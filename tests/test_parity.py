"""From a checkpoint of torchvision to the same final detections, for all ten detectors.

Random weights in torchvision's own files, random norm statistics, last layers scaled so
that things are found; photographs upright, lying and small. At torchvision's default
sizes `python -m experiments.torchvision_parity` does the same, and takes minutes.
"""

import pytest

from fpn_jax.benchmarks.inputs import photographs_of_three_sizes
from fpn_jax.inference import Predictor
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.prove import as_detections, count_ties, match_detections
from fpn_jax.parity.random_detectors import lively_detector
from fpn_jax.parity.torchvision_detectors import detect
from fpn_jax.training.conversion import run_from_torchvision
from fpn_jax.weights.state_dicts import load_state_dict
from fpn_jax.zoo.torchvision import TORCHVISION
from tests.support.slow import slow_but

torch, _ = import_torchvision()


def converted(model, name, path):
    """Returns the run that a torchvision model's saved weights make."""
    torch.save(model.state_dict(), path)
    return run_from_torchvision(name, load_state_dict(path))


def assert_same(ours, theirs, model):
    """Every detection has its counterpart: label, box, score, mask and keypoints.

    Or, one in an image, a tie that rounding decides.
    """
    for mine, found in zip(ours, theirs, strict=True):
        wanted = as_detections(found, model)
        pairs = match_detections(mine, wanted)
        ties = count_ties(mine, wanted, pairs)
        assert len(mine.scores) == len(wanted.scores) == len(pairs) + ties
        assert ties <= 1
    assert sum(len(mine.scores) for mine in ours) > 30


# One of each kind in the quick tests; keypoints have their head's own.
QUICK = {
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "retinanet_resnet50_fpn",
    "fcos_resnet50_fpn",
}


@pytest.mark.parametrize("name", slow_but(QUICK, TORCHVISION))
def test_a_batch_of_photographs_has_torchvisions_detections(name, tmp_path):
    photographs = photographs_of_three_sizes()
    # Small and with few proposals, to be fast.
    options, few = {"min_size": 160, "max_size": 256}, {}
    if "rcnn" in name:
        options |= {"rpn_post_nms_top_n_test": 150, "box_detections_per_img": 30}
    theirs = lively_detector(name, photographs, **options)
    run = converted(theirs, name, tmp_path / "model.pth")
    model = run.config.model
    if "rcnn" in name:
        few = {"rpn": {"post_nms": 150}, "box_head": {"max_detections": 30}}
    model = model.clone(
        **{head: getattr(model, head).clone(**changes) for head, changes in few.items()}
    )
    detector = Predictor(model, run.variables, (160, 256), padding="exact")
    assert_same(detector(photographs), detect(theirs, photographs), model)
