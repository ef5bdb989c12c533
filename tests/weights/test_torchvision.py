"""torchvision's state dicts, whole: every tensor placed, and the way back."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.backbones.vgg import VGG
from fpn_jax.layers import Conv
from fpn_jax.necks.fpn import FPN
from fpn_jax.weights.convert import export_state_dict
from fpn_jax.weights.torchvision import (
    backbone_rules,
    load_backbone,
    load_proposal_network,
    proposal_network_rules,
)
from tests.torch_models import numpy_state, randomize_norms, to_nhwc, to_torch
from tests.torch_reference import torch, torchvision


class Head(nn.Module):
    """The parameters of an RPN: 3 anchors at each place."""

    @nn.compact
    def __call__(self, pyramid):
        conv = Conv(256, 3, name="conv")
        objectness, deltas = Conv(3, 1, name="objectness"), Conv(12, 1, name="deltas")
        hidden = [nn.relu(conv(x)) for x in pyramid.values()]
        return [objectness(x) for x in hidden], [deltas(x) for x in hidden]


class Detector(nn.Module):
    """The shape of a proposal network, on normalised images."""

    backbone: nn.Module
    neck: nn.Module
    head: nn.Module

    def __call__(self, images, sizes):
        return self.head(self.neck(self.backbone(images)))


@pytest.fixture(scope="module")
def faster_rcnn() -> torch.nn.Module:
    torch.manual_seed(0)
    model = torchvision.models.detection.fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=2
    )
    return randomize_norms(model)


def detector(norm: str = "frozen") -> Detector:
    return Detector(ResNet(50, norm=norm), FPN(), Head())


def test_the_rpn_says_what_torchvisions_says(faster_rcnn):
    network = detector()
    variables = load_proposal_network(numpy_state(faster_rcnn), network)
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
    ours = jax.jit(network.apply)(variables, images, np.full((1, 2), 64.0))
    with torch.no_grad():
        pyramid = faster_rcnn.backbone(to_torch(images))
        theirs = faster_rcnn.rpn.head(list(pyramid.values()))
    for our_levels, their_levels in zip(ours, theirs, strict=True):
        for a, b in zip(our_levels, their_levels, strict=True):
            b = to_nhwc(b)
            assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()


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
        load_proposal_network(renamed, detector()),
        load_proposal_network(state_dict, detector()),
    )


@pytest.mark.parametrize("norm", ["frozen", "batch"])
def test_export_of_a_proposal_network_is_bitwise_what_came(faster_rcnn, norm):
    network = detector(norm)
    state_dict = numpy_state(faster_rcnn)
    back = export_state_dict(
        load_proposal_network(state_dict, network), proposal_network_rules(network)
    )
    expected = {
        name
        for name in state_dict
        if not name.startswith("roi_heads") and "num_batches" not in name
    }
    assert back.keys() == expected
    for name in expected:
        np.testing.assert_array_equal(back[name], state_dict[name])


@pytest.mark.parametrize(
    "name, backbone",
    [
        ("resnet18", ResNet(18)),
        ("resnet50", ResNet(50, norm="batch")),
        ("vgg11_bn", VGG(11, norm="frozen")),
    ],
)
def test_export_of_a_backbone_is_bitwise_what_came(name, backbone):
    model = randomize_norms(getattr(torchvision.models, name)(num_classes=2))
    if name.startswith("vgg"):
        model.classifier = torch.nn.Identity()
    state_dict = numpy_state(model)
    back = export_state_dict(
        load_backbone(state_dict, backbone), backbone_rules(backbone)
    )
    left_out = {n for n in state_dict if "num_batches" in n or n.startswith("fc.")}
    assert back.keys() == state_dict.keys() - left_out
    for key, array in back.items():
        np.testing.assert_array_equal(array, state_dict[key])


def test_another_depth_is_told_apart_in_one_error():
    state_dict = numpy_state(torchvision.models.resnet18(num_classes=2))
    with pytest.raises(ValueError) as error:
        load_backbone(state_dict, ResNet(34))
    first, *names = str(error.value).split("\n")
    # ResNet-34 has 16 blocks where ResNet-18 has 8, each of 2 convolutions and norms.
    assert first == (
        "state_dict does not fit the model: 80 missing, 0 unknown, 0 of another shape"
    )
    assert "  missing layer3.5.bn2.running_var" in names


def test_weights_without_batch_norm_do_not_fit_a_norm():
    with torch.device("meta"):
        model = torchvision.models.vgg11(num_classes=2, init_weights=False)
    state_dict = {name: np.zeros(p.shape) for name, p in model.state_dict().items()}
    with pytest.raises(ValueError, match="state_dict does not fit the model"):
        load_backbone(state_dict, VGG(11, norm="batch"))


def test_a_backbone_that_torchvision_does_not_have_is_refused():
    with pytest.raises(ValueError, match="one of 'ResNet', 'VGG', got 'Dummy'"):
        load_backbone({}, Dummy())
