"""torchvision's state dicts, whole: every tensor placed, and the way back."""

import re

import jax
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.mobilenet_v2 import MobileNetV2
from fpn_jax.backbones.mobilenet_v3 import MobileNetV3
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.backbones.vgg import VGG
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.parity.layouts import numpy_state
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.weights.state_dicts import export_state_dict
from fpn_jax.weights.torchvision import (
    backbone_from_torchvision,
    batch_counters,
    detector_from_torchvision,
    detector_rules,
    detector_to_torchvision,
    first_label,
)
from fpn_jax.weights.torchvision_backbones import backbone_rules
from fpn_jax.zoo.torchvision import TORCHVISION

torch, torchvision = import_torchvision()


@pytest.fixture(scope="module")
def faster_rcnn() -> torch.nn.Module:
    torch.manual_seed(0)
    model = torchvision.models.detection.fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=2
    )
    return randomize_norms(model)


def detector(norm: str = "frozen") -> ProposalNetwork:
    return ProposalNetwork(ResNet(50, norm=norm), FPN(), RPNHead())


OLD_NAMES = [
    ("inner_blocks.{}.0.", "inner_blocks.{}."),
    ("layer_blocks.{}.0.", "layer_blocks.{}."),
    ("rpn.head.conv.0.0.", "rpn.head.conv."),
]


def test_names_of_older_releases_are_the_same_network(faster_rcnn):
    state_dict = numpy_state(faster_rcnn)
    renamed = {}
    for name, array in state_dict.items():
        for new, old in OLD_NAMES:
            for i in range(4):
                name = name.replace(new.format(i), old.format(i))
        renamed[name] = array
    assert len(renamed.keys() - state_dict.keys()) == 18  # 8 FPN convolutions, the RPN
    jax.tree.map(
        np.testing.assert_array_equal,
        detector_from_torchvision(renamed, detector()),
        detector_from_torchvision(state_dict, detector()),
    )


@pytest.mark.parametrize("norm", ["frozen", "batch"])
def test_export_of_a_proposal_network_is_bitwise_what_came(faster_rcnn, norm):
    network = detector(norm)
    state_dict = numpy_state(faster_rcnn)
    variables = detector_from_torchvision(state_dict, network)
    back = detector_to_torchvision(variables, network, batch_counters(state_dict))
    expected = {name for name in state_dict if not name.startswith("roi_heads")}
    assert back.keys() == expected
    for name in expected:
        np.testing.assert_array_equal(back[name], state_dict[name])


@pytest.mark.parametrize(
    "name, backbone",
    [
        ("resnet18", ResNet(18)),
        ("resnet50", ResNet(50, norm="batch")),
        ("vgg11_bn", VGG(11, norm="frozen")),
        ("resnext50_32x4d", ResNet(50, groups=32, width_per_group=4)),
        ("mobilenet_v2", MobileNetV2(levels=(2, 6))),
        ("mobilenet_v3_large", MobileNetV3("large", levels=(2, 6))),
        ("mobilenet_v3_small", MobileNetV3("small", levels=(6,), norm="batch")),
    ],
)
def test_export_of_a_backbone_is_bitwise_what_came(name, backbone):
    model = randomize_norms(getattr(torchvision.models, name)(num_classes=2))
    if hasattr(model, "classifier"):
        model.classifier = torch.nn.Identity()
    state_dict = numpy_state(model)
    back = export_state_dict(
        backbone_from_torchvision(state_dict, backbone), backbone_rules(backbone)
    )
    left_out = {n for n in state_dict if "num_batches" in n or n.startswith("fc.")}
    assert back.keys() == state_dict.keys() - left_out
    for key, array in back.items():
        np.testing.assert_array_equal(array, state_dict[key])


def test_another_depth_is_told_apart_in_one_error():
    state_dict = numpy_state(torchvision.models.resnet18(num_classes=2))
    with pytest.raises(ValueError) as error:
        backbone_from_torchvision(state_dict, ResNet(34))
    first, *lines = str(error.value).split("\n")
    # ResNet-34 has 16 blocks where ResNet-18 has 8, each of 2 convolutions and norms.
    assert first == (
        "state_dict does not fit the model: 80 missing, 0 unknown, 0 of another shape"
    )
    # The stages have 1, 2, 4 and 1 more, of 2 kernels and 2 norms of 4 vectors.
    counted = [line.partition(" tensors")[0] for line in lines]
    assert counted == [
        "  missing layer1.2.* in 10",
        "  missing layer2.2.* in 10",
        "  missing layer2.3.* in 10",
        "  missing layer3.* in 40",
        "  missing layer4.2.* in 10",
    ]


def test_weights_without_batch_norm_do_not_fit_a_norm():
    with torch.device("meta"):
        model = torchvision.models.vgg11(num_classes=2, init_weights=False)
    state_dict = {name: np.zeros(p.shape) for name, p in model.state_dict().items()}
    with pytest.raises(ValueError, match="state_dict does not fit the model"):
        backbone_from_torchvision(state_dict, VGG(11, norm="batch"))


def test_a_backbone_that_torchvision_does_not_have_is_refused():
    with pytest.raises(
        ValueError, match="no counterpart of Dummy, only of ResNet, VGG, Mob"
    ):
        backbone_from_torchvision({}, Dummy())


def test_a_head_with_one_box_for_all_classes_is_refused():
    detector = TORCHVISION["fasterrcnn_resnet50_fpn"]()
    head = detector.box_head.clone(class_agnostic=True)
    with pytest.raises(ValueError, match="no counterpart of a BoxHead with class_"):
        detector_rules(detector.clone(box_head=head))


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_detector_comes_back_bit_by_bit(name):
    build = getattr(torchvision.models.detection, name)
    theirs = build(weights=None, weights_backbone=None)
    for i, module in enumerate(randomize_norms(theirs).modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            module.num_batches_tracked.fill_(i)
    state_dict = numpy_state(theirs)
    detector = TORCHVISION[name]()
    back = detector_to_torchvision(
        detector_from_torchvision(state_dict, detector),
        detector,
        batch_counters(state_dict),
    )
    assert back.keys() == state_dict.keys()
    for key, array in state_dict.items():
        np.testing.assert_array_equal(back[key], array, strict=True)
    tensors = {key: torch.tensor(array) for key, array in back.items()}
    theirs.load_state_dict(tensors, strict=True)


def test_a_detector_with_frozen_norms_comes_back_without_counters(monkeypatch):
    # As torchvision builds it beside its weights, but for the download.
    monkeypatch.setattr(torchvision.models._api.WeightsEnum, "get_state_dict", dict)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)
    theirs = torchvision.models.detection.fcos_resnet50_fpn(weights="COCO_V1")
    monkeypatch.undo()
    state_dict = numpy_state(randomize_norms(theirs))
    detector = TORCHVISION["fcos_resnet50_fpn"]()
    back = detector_to_torchvision(
        detector_from_torchvision(state_dict, detector), detector
    )
    assert len(back) == 319
    theirs.load_state_dict({k: torch.tensor(x) for k, x in back.items()}, strict=True)
    for key, array in state_dict.items():
        np.testing.assert_array_equal(back[key], array, strict=True)


def test_counters_that_nobody_kept_are_0():
    state_dict = numpy_state(torchvision_v2())
    detector = TORCHVISION["retinanet_resnet50_fpn_v2"]()
    back = detector_to_torchvision(
        detector_from_torchvision(state_dict, detector), detector
    )
    assert back.keys() == state_dict.keys()
    assert {int(back[name]) for name in batch_counters(back)} == {0}


def torchvision_v2() -> torch.nn.Module:
    return torchvision.models.detection.retinanet_resnet50_fpn_v2(
        weights=None, weights_backbone=None
    )


# Old name -> new name, and how many tensors of a model have it.
OLDER = {
    "maskrcnn_resnet50_fpn": (
        26,
        [
            (r"(fpn\.\w+_blocks\.\d)\.0\.", r"\1."),
            (r"rpn\.head\.conv\.0\.0\.", "rpn.head.conv."),
            (
                r"mask_head\.(\d)\.0\.",
                lambda match: f"mask_head.mask_fcn{int(match[1]) + 1}.",
            ),
        ],
    ),
    "retinanet_resnet50_fpn": (
        28,
        [
            (r"(fpn\.\w+_blocks\.\d)\.0\.", r"\1."),
            (
                r"_head\.conv\.(\d)\.0\.",
                lambda match: f"_head.conv.{2 * int(match[1])}.",
            ),
        ],
    ),
}


@pytest.mark.parametrize("name", OLDER)
def test_older_checkpoints_are_the_same_detector(name):
    build = getattr(torchvision.models.detection, name)
    state_dict = numpy_state(build(weights=None, weights_backbone=None))
    number, changes = OLDER[name]
    renamed = {}
    for key, array in state_dict.items():
        for new, old in changes:
            key = re.sub(new, old, key)
        renamed[key] = array
    assert len(renamed.keys() - state_dict.keys()) == number
    detector = TORCHVISION[name]()
    jax.tree.map(
        np.testing.assert_array_equal,
        detector_from_torchvision(renamed, detector),
        detector_from_torchvision(state_dict, detector),
    )


def test_all_that_does_not_fit_a_detector_is_reported_at_once():
    state_dict = numpy_state(torchvision_v2())
    state_dict["head.regression_head.bbox_rec.bias"] = state_dict.pop(
        "head.regression_head.bbox_reg.bias"
    )
    with pytest.raises(ValueError) as error:
        detector_from_torchvision(
            state_dict, TORCHVISION["retinanet_resnet50_fpn_v2"](7)
        )
    lines = str(error.value).split("\n")
    assert lines[0].endswith("1 missing, 1 unknown, 2 of another shape")
    assert "  missing head.regression_head.bbox_reg.bias (nearest: " in lines[1]
    shape = (
        "  shape of head.classification_head.cls_logits.bias is (819,), must be (63,)"
    )
    assert shape in lines


@pytest.mark.parametrize("name", TORCHVISION)
def test_only_the_labels_of_rcnns_count_the_background(name):
    assert first_label(TORCHVISION[name]()) == ("rcnn" in name)
