"""The rows: contestants that do the same work, at sizes a test can afford."""

import os

import pytest

from fpn_jax.benchmarks import (
    detectors,
    loading,
    muon,
    network,
    nms,
    peer_detectors,
    roi_align,
)
from fpn_jax.benchmarks.inputs import training_batch
from fpn_jax.benchmarks.timing import OURS
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Lets torchvision take part where its compiled operators do not load."""

    def reference(*, compiled):
        return torch, torchvision

    for module in (loading, network, nms, roi_align, peer_detectors):
        monkeypatch.setattr(module, "import_torchvision", reference)
    # Their roi_align in Python, where it serves, is not worth minutes of compilation.
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


@pytest.mark.parametrize("boxes", ["random", "clustered"])
@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_both_suppressions_keep_the_same_boxes(boxes, threshold):
    contest = nms.nms_contest(True, boxes=boxes, threshold=threshold)

    assert contest.difference == 0
    assert set(contest.contestants) == {OURS, "torchvision"}


def test_clustered_boxes_are_suppressed_far_more():
    kept = {
        boxes: nms.nms_contest(False, boxes=boxes, threshold=0.5)
        .contestants[OURS]()
        .sum()
        for boxes in ("random", "clustered")
    }

    assert kept["clustered"] < 300 < 700 < kept["random"]


@pytest.mark.slow
def test_both_muons_give_the_same_updates():
    contest = muon.muon_contest(True)

    assert set(contest.contestants) == {OURS, "optax"}
    assert contest.difference < 1e-4


def test_all_networks_give_the_same_outputs():
    """1e-4: fifty convolutions in float32, in other orders of summation."""
    contest = network.forward_contest(True, height=64, width=96, flop=1.0)

    assert contest.difference < 1e-4
    assert set(contest.contestants) == {
        OURS,
        "torchvision",
        "torchvision channels_last",
        "torchvision folded",
    }


@pytest.mark.parametrize(
    "contest", [roi_align.roi_align_forward, roi_align.roi_align_backward]
)
def test_both_poolings_give_the_same_features_and_gradients(contest):
    """1e-4: samples are placed within 1e-5 of a cell of each other."""
    contest = contest(True, canvas=(256, 320), channels=4, num_boxes=20)

    assert contest.difference < 1e-4
    assert set(contest.contestants) == {OURS, "torchvision"}


def test_both_detectors_find_the_same():
    contest = detectors.inference_contest(
        True, name="fasterrcnn_resnet50_fpn", canvas=(128, 150)
    )

    assert contest.difference == 0
    assert len(contest.contestants[OURS]().scores) == 100


@pytest.mark.parametrize(
    ("name", "label"), [("fasterrcnn_resnet50_fpn", 1), ("retinanet_resnet50_fpn", 0)]
)
def test_torchvision_trains_on_objects_and_not_on_background(name, label):
    seen = []

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, images, targets):
            seen.extend(targets)
            return {"loss": self.weight.sum()}

    step = peer_detectors.peer_training(Model(), name, training_batch((64, 96)))

    assert step() == 1
    assert [target["labels"].tolist() for target in seen] == 2 * [5 * [label]]


def test_both_detectors_begin_to_train_with_the_same_loss():
    contest = detectors.training_contest(
        True, name="retinanet_resnet50_fpn", canvas=(128, 128)
    )

    assert contest.difference < 1e-4
    ours = contest.contestants[OURS]
    assert ours() != ours()  # it has made a step


def test_both_loaders_give_the_same_pixels_on_one_core():
    cores = os.sched_getaffinity(0)
    assert len(loading._on_one_core(lambda: os.sched_getaffinity(0))) == 1
    contest = loading.loading_contest(True)
    assert contest.difference == 0
    for run in contest.contestants.values():
        batches = run()
        assert [batch.shape for batch in batches] == 8 * [(8, 640, 640, 3)]
        assert len({batch.tobytes() for batch in batches}) == 8
        assert os.sched_getaffinity(0) == cores
