"""Every named detector by its table: parameters, frozen parts, completeness."""

import functools
import inspect

import jax
import jax.numpy as jnp
import pytest

from fpn_jax.backbones.mobilenet_v3 import MobileNetV3
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.backbones.stages import frozen_mask, frozen_names
from fpn_jax.backbones.vgg import VGG
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.zoo import torchvision as zoo

_, torchvision = import_torchvision()

# Parameters: all, and those that torchvision trains by default. Its own figures, as its
# builders are beside their weights (the affine of frozen norms is not counted).
PARAMETERS = {
    "fasterrcnn_resnet50_fpn": (41_755_286, 41_532_886),
    "fasterrcnn_resnet50_fpn_v2": (43_712_278, 43_486_934),
    "fasterrcnn_mobilenet_v3_large_fpn": (19_386_354, 19_327_458),
    "fasterrcnn_mobilenet_v3_large_320_fpn": (19_386_354, 19_327_458),
    "maskrcnn_resnet50_fpn": (44_401_393, 44_178_993),
    "maskrcnn_resnet50_fpn_v2": (46_359_409, 46_134_065),
    "keypointrcnn_resnet50_fpn": (59_137_258, 58_914_858),
    "retinanet_resnet50_fpn": (34_014_999, 33_792_599),
    "retinanet_resnet50_fpn_v2": (38_198_935, 37_973_591),
    "fcos_resnet50_fpn": (32_269_600, 32_047_200),
}

# The epsilon of the backbone's norms beside the COCO weights.
ZERO_EPSILON = {
    "fasterrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "keypointrcnn_resnet50_fpn",
    "retinanet_resnet50_fpn",
}


@functools.cache
def parameters(detector) -> dict:
    """Returns the shapes of a detector's parameters."""
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    return jax.eval_shape(detector.init, jax.random.key(0), images, sizes)["params"]


def count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_as_many_as_torchvisions(name):
    detector = zoo.TORCHVISION[name]()
    params = parameters(detector)
    frozen = frozen_mask(
        params["backbone"], frozen_names(detector.backbone.frozen_stages)
    )
    num_frozen = sum(
        leaf.size
        for leaf, fixed in zip(
            jax.tree.leaves(params["backbone"]), jax.tree.leaves(frozen), strict=True
        )
        if fixed
    )
    assert (count(params), count(params) - num_frozen) == PARAMETERS[name]


def test_every_detector_of_torchvision_with_a_pyramid_is_here():
    builders = torchvision.models.list_models(module=torchvision.models.detection)
    with_pyramid = {name for name in builders if not name.startswith("ssd")}
    assert zoo.TORCHVISION.keys() == with_pyramid == PARAMETERS.keys()
    for name, constructor in zoo.TORCHVISION.items():
        assert getattr(zoo, name) is constructor


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_epsilon_is_that_of_the_coco_weights(name):
    epsilon = zoo.TORCHVISION[name]().backbone.norm_epsilon
    assert epsilon == (0.0 if name in ZERO_EPSILON else 1e-5)


def test_constructors_fit_on_a_screen():
    for name, constructor in inspect.getmembers(zoo, inspect.isfunction):
        lines = inspect.getsource(constructor).splitlines()
        assert len(lines) <= 15 or name == "digits_proposal_network", name


@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn"])
def test_the_number_of_classes_moves_the_last_layers_only(name):
    def others(params):
        last = {"class_logits", "mask_logits", "box_deltas"}
        heads = {k: v for k, v in params.items() if k not in ("backbone", "neck")}
        return {
            layer: jax.tree.map(jnp.shape, leaves)
            for head in heads.values()
            for layer, leaves in head.items()
            if layer not in last
        }

    constructor = zoo.TORCHVISION[name]
    few, many = parameters(constructor(3)), parameters(constructor())
    assert others(few) == others(many)
    assert count(few) != count(many)


@pytest.mark.parametrize(
    "name, backbone",
    [
        ("fasterrcnn_resnet50_fpn", ResNet(18)),
        ("fasterrcnn_resnet50_fpn_v2", ResNet(101, norm="batch")),
        ("maskrcnn_resnet50_fpn", VGG(16)),
        ("keypointrcnn_resnet50_fpn", ResNet(34, width=32)),
        ("retinanet_resnet50_fpn", ResNet(152, levels=(3, 4, 5))),
        ("retinanet_resnet50_fpn_v2", MobileNetV3("small", levels=(3, 4, 5))),
        ("fcos_resnet50_fpn", VGG(16, levels=(3, 4, 5))),
        (
            "fasterrcnn_mobilenet_v3_large_fpn",
            MobileNetV3("large", width=0.5, levels=(5, 6)),
        ),
    ],
)
def test_another_backbone_changes_nothing_above_the_laterals(name, backbone):
    ours = parameters(zoo.TORCHVISION[name](backbone=backbone))
    default = parameters(zoo.TORCHVISION[name]())
    heads = default.keys() - {"backbone", "neck"}
    assert count(ours["backbone"]) != count(default["backbone"])
    assert {head: count(ours[head]) for head in heads} == {
        head: count(default[head]) for head in heads
    }
