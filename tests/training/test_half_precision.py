"""With bfloat16 every convolution and product of a step is one, as a TPU gets it."""

import re

import jax
import jax.numpy as jnp
import pytest

from fpn_jax.backbones import ResNet
from fpn_jax.detectors.contract import with_dtype
from fpn_jax.training import Config, DataConfig, OptimizerConfig
from fpn_jax.training.programs import abstract_state, step_of
from fpn_jax.training.step import data_mesh, jitted
from fpn_jax.zoo import fcos_resnet50_fpn, maskrcnn_resnet50_fpn, retinanet_resnet50_fpn

_CANVAS = (64, 96)


def batch():
    shapes = {
        "images": ((2, *_CANVAS, 3), jnp.uint8),
        "sizes": ((2, 2), jnp.int32),
        "boxes": ((2, 4, 4), jnp.float32),
        "labels": ((2, 4), jnp.int32),
        "valid": ((2, 4), jnp.bool_),
        "crowd": ((2, 4), jnp.bool_),
        "masks": ((2, 4, 28, 28), jnp.uint8),
    }
    return {name: jax.ShapeDtypeStruct(*shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("make", "levels"),
    [
        (maskrcnn_resnet50_fpn, (2, 3, 4, 5)),
        (retinanet_resnet50_fpn, (3, 4, 5)),
        (fcos_resnet50_fpn, (3, 4, 5)),
    ],
)
def test_a_step_multiplies_in_bfloat16(make, levels):
    backbone = ResNet(depth=18, norm="frozen", levels=levels)
    model = make(num_classes=3, backbone=backbone)
    config = Config(
        model=with_dtype(model, "bfloat16"),
        data=DataConfig(canvas=_CANVAS, batch_size=2),
        optimizer=OptimizerConfig(name="sgd"),
    )
    mesh = data_mesh(jax.devices()[:1])
    step = jitted(step_of(config), mesh)
    with jax.default_matmul_precision("default"):  # other tests ask for the highest
        traced = step.trace(abstract_state(config, mesh), batch())
    text = traced.lower(lowering_platforms=("tpu",)).as_text()
    products = [
        line
        for line in text.splitlines()
        if re.search(r"stablehlo\.(convolution|dot_general)", line)
    ]
    exact = [line for line in products if "HIGHEST" in line]
    others = [line for line in products if "HIGHEST" not in line]
    assert len(others) > 50
    for line in others:
        kinds = re.findall(r"x([a-z]+\d+)>", line[line.rindex(" : ") :])
        assert kinds == ["bf16"] * 3, line
    # What asks for exact float32 is no network's: targets, and who wants which class.
    for line in exact:
        assert "convolution" not in line
