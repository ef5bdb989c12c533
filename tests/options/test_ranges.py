"""No number of a training is taken from the command line without a look at it."""

import re

import pytest

from fpn_jax.detectors.check_numbers import RANGES
from fpn_jax.training.config import _RANGES
from tests.support.offers import offered

OTHERWISE = {"data.canvas"}  # by `check_canvas`


@pytest.mark.parametrize(
    "words",
    [
        ("train",),
        ("train", "--model", "maskrcnn_resnet50_fpn_v2"),
        ("train", "--model", "keypointrcnn_resnet50_fpn"),
        ("train", "--model", "cascade_mask_rcnn_R_50_FPN"),
        ("train", "--model", "retinanet_resnet50_fpn"),
        ("train", "--model", "fcos_resnet50_fpn"),
        ("train", "--model", "yolox_nano"),
    ],
)
def test_every_number_has_a_range(words):
    offer, _ = offered(words, "--help-all")
    kinds = {o.key: {*re.split(r"[ |]", o.value)} for o in offer.options}
    numbers = [key for key, kind in kinds.items() if {"N", "NUMBER"} & kind]
    assert len(numbers) > 50
    unlooked = {
        key
        for key in numbers
        if key not in _RANGES and key.rpartition(".")[2] not in RANGES
    }
    assert unlooked <= OTHERWISE
