"""Backbones of torchvision's classifiers: every name, the levels, a wrong number."""

import jax
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from fpn_jax.detectors.feature_extractor import FeatureExtractor
from fpn_jax.parity.layouts import numpy_state
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.prove_backbone import backbone_differences
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.weights.torchvision import backbone_from_torchvision
from fpn_jax.zoo.classifiers import CLASSIFIERS

torch, torchvision = import_torchvision()

IMAGES = [load_sample_image("china.jpg")[160:260, 40:200]]  # no multiple of 32


def build(name: str, **options) -> torch.nn.Module:
    return getattr(torchvision.models, name)(weights=None, **options)


def differences_of(classifier: torch.nn.Module, backbone) -> dict[str, float]:
    weights = backbone_from_torchvision(numpy_state(classifier), backbone)
    variables = {kind: {"backbone": tree} for kind, tree in weights.items()}
    extractor = FeatureExtractor(backbone)
    return backbone_differences(classifier.eval(), extractor, variables, IMAGES)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifiers_tensors_have_their_place(name):
    with torch.device("meta"):
        state = build(name).state_dict()
    nothing = {n: np.broadcast_to(np.float32(0), x.shape) for n, x in state.items()}
    variables = backbone_from_torchvision(nothing, CLASSIFIERS[name])
    convs = sum(n.endswith("weight") and x.ndim == 4 for n, x in nothing.items())
    kernels = [leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 4]
    assert len(kernels) == convs


@pytest.mark.parametrize(
    "name, levels",
    [
        ("resnet18", "C2 C3 C4 C5"),
        ("vgg11", "C2 C3 C4 C5"),
        ("vgg11_bn", "C2 C3 C4 C5"),
        ("mobilenet_v2", "C2 C3 C4 C5 C6"),
        ("mobilenet_v3_small", "C2 C3 C4 C5 C6"),
        ("mobilenet_v3_large", "C2 C3 C4 C5 C6"),
    ],
)
def test_the_levels_are_torchvisions(name, levels):
    torch.manual_seed(0)
    options = {"init_weights": False} if name.startswith("vgg") else {}
    classifier = randomize_norms(build(name, num_classes=2, **options))
    found = differences_of(classifier, CLASSIFIERS[name])
    assert " ".join(found) == levels
    assert max(found.values()) <= 1e-4


def test_another_epsilon_is_seen():
    torch.manual_seed(0)
    classifier = randomize_norms(build("mobilenet_v3_small", num_classes=2))
    backbone = CLASSIFIERS["mobilenet_v3_small"].clone(norm_epsilon=1e-5)
    assert max(differences_of(classifier, backbone).values()) > 1e-3
