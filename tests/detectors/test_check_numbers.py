"""Fields of a model out of their ranges."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.mobilenet_v3 import MobileNetV3
from fpn_jax.detectors.check import check_model
from fpn_jax.detectors.check_numbers import RANGES, check_numbers
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.heads.retinanet import RetinaNetHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.yolov3 import YOLOv3Head
from fpn_jax.heads.yolox import YOLOXHead
from fpn_jax.necks.bifpn import BiFPN
from fpn_jax.necks.fpn import FPN
from fpn_jax.necks.pafpn import PAFPN
from fpn_jax.zoo import detectron2, torchvision
from fpn_jax.zoo.digits import digits_faster_rcnn, digits_one_stage

MODEL = digits_faster_rcnn()


def changed(part: str, **fields):
    return MODEL.clone(**{part: getattr(MODEL, part).clone(**fields)})


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        ("neck", {"channels": -4}, "model.neck.channels must be 1 or more, got -4"),
        ("neck", {"channels": 2.5}, "channels must be a whole number, 1 or more, got"),
        ("backbone", {"width": 0}, "model.backbone.width must be above 0, got 0"),
        ("backbone", {"norm": "batsh"}, "backbone.norm must be one of .*: 'batch'"),
        ("backbone", {"levels": (3, 2)}, "levels must rise, .* got .3, 2."),
        ("rpn", {"anchor_ratios": ()}, "anchor_ratios must hold at least one number"),
        (
            "rpn",
            {"anchor_sizes": ((8,), (-1,))},
            "anchor_sizes must be above 0, got -1",
        ),
        ("rpn", {"negative_iou": 0.9}, "negative_iou must be at most .* 0.7, got 0.9"),
        ("box_head", {"score_threshold": float("nan")}, "must be 0 … 1, got nan"),
        ("box_head", {"nms_threshold": 1.5}, "nms_threshold must be 0 … 1, got 1.5"),
        ("box_head", {"num_samples": True}, "num_samples must be a whole number"),
        ("box_head", {"pool": RoIPool(size=0)}, "box_head.pool.size must be 1 or more"),
        ("neck", {"channels": None}, "neck.channels must be a whole number, got None"),
        ("neck", {"channels": 8.0}, "neck.channels must be a whole number, got 8.0"),
        ("neck", {"levels": 3}, r"must be tuple.int, .... or None, got 3"),
        ("neck", {"norm": 3}, "norm must be 'frozen', 'batch', 'group' or None, got"),
        ("neck", {"lateral": "no"}, "neck.lateral must be True or False, got 'no'"),
        ("neck", {"dtype": int}, "neck.dtype must be 'float32', .*, got .*int"),
        ("rpn", {"anchor_sizes": (8, 16)}, "anchor_sizes must be tuple.tuple.*8, 16"),
        ("box_head", {"box_weights": (10, 10, 5)}, "box_weights must be tuple.*5.$"),
        ("box_head", {"score_threshold": None}, "must be a number, got None"),
    ],
)
def test_a_number_out_of_range_names_its_field(part, fields, message):
    with pytest.raises(ValueError, match=message):
        check_numbers(changed(part, **fields))


def test_colors_have_three_channels():
    for color in ((0.5, 0.5), (0.5,) * 4, None, ((0.5,),) * 3):
        with pytest.raises(ValueError, match="^model.image_mean must be tuple.float, "):
            check_numbers(MODEL.clone(image_mean=color))


def test_a_part_is_a_module_not_its_name_or_class():
    for backbone in ("resnet50", Dummy):
        with pytest.raises(
            ValueError, match="^model.backbone must be a Linen module, "
        ):
            check_numbers(MODEL.clone(backbone=backbone))
    with pytest.raises(
        ValueError, match="mask_head must be MaskHead or a Linen module or"
    ):
        check_numbers(MODEL.clone(mask_head=True))


@pytest.mark.parametrize("dtype", ["bfloat16", jnp.bfloat16, jnp.float16, np.float32])
def test_a_type_of_jax_is_as_good_as_its_name(dtype):
    check_numbers(changed("neck", dtype=dtype))


def test_lists_and_whole_numbers_do_for_tuples_and_fractions():
    check_numbers(changed("neck", levels=[2, 3]))
    check_numbers(MODEL.clone(image_mean=[0, 0, 0]))


def test_every_model_of_the_zoo_is_in_range():
    for model in (
        MODEL,
        torchvision.fasterrcnn_mobilenet_v3_large_fpn(),
        torchvision.maskrcnn_resnet50_fpn(),
        torchvision.fcos_resnet50_fpn(),
        torchvision.retinanet_resnet50_fpn_v2(),
        detectron2.faster_rcnn(),
        digits_one_stage(YOLOXHead(3)),
        digits_one_stage(YOLOv3Head(3)).clone(neck=BiFPN(8)),
    ):
        check_numbers(model)


def test_a_factor_may_be_a_fraction_where_a_number_of_channels_may_not():
    check_numbers(MobileNetV3(width=0.5))
    with pytest.raises(ValueError, match="width must be a whole number"):
        check_numbers(Dummy(width=0.5))


@pytest.mark.parametrize("kind", [FPN, BiFPN, PAFPN, RetinaNetHead, FCOSHead, RoIPool])
def test_every_number_of_a_module_has_a_range(kind):
    numbers = {
        field.name
        for field in dataclasses.fields(kind)
        if type(field.default) in (int, float) and field.name != "depth"
    }
    assert numbers <= RANGES.keys()


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (RetinaNetHead(3), r"model.head: anchor_sizes .* levels \[2, 3, 4, 5\]"),
        (YOLOv3Head(3), r"model.head: anchor_shapes .* levels \[2, 3, 4, 5\]"),
    ],
)
def test_anchors_for_other_levels_are_found_before_a_model_is_made(head, message):
    with pytest.raises(ValueError, match=message):
        check_model(digits_one_stage(head), (64, 64))


def test_channels_that_group_norm_cannot_divide_are_one_line():
    with pytest.raises(ValueError, match="^model.head: norm .group. .* 32 .*, got 48$"):
        check_model(OneStage(Dummy(), FPN(48), FCOSHead(3)), (64, 64))


@pytest.mark.parametrize("neck", [BiFPN(8), PAFPN(8)])
def test_levels_with_a_gap_are_one_line(neck):
    model = OneStage(Dummy(levels=(2, 4)), neck, FCOSHead(3))
    with pytest.raises(ValueError, match=r"model.neck: .* follow each other.*\[2, 4\]"):
        check_model(model, (64, 64))


def test_a_pool_of_levels_that_a_backbone_lacks_is_one_line():
    model = MODEL.clone(backbone=Dummy(levels=(3, 4, 5)))
    model = model.clone(rpn=model.rpn.clone(anchor_sizes=((8,), (16,), (32,), (64,))))
    with pytest.raises(
        ValueError, match=r"box_head.pool.levels are \(2, .* no level 2"
    ):
        check_model(model, (64, 64))
