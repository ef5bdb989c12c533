"""YOLOX's state dicts: there and back, with counters, and what it does not have."""

import numpy as np
import pytest

from fpn_jax.backbones.resnet import ResNet
from fpn_jax.parity.layouts import numpy_state
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.weights.yolox import (
    detector_from_yolox,
    detector_to_yolox,
    fitted_to_yolox,
    released_size,
    yolox_rules,
)
from fpn_jax.zoo.yolox import yolox_nano, yolox_s
from tests.support import yolox_twin

torch, _ = import_torchvision()

WIDTH = 0.125


@pytest.fixture(scope="module")
def state_dict():
    """Of a narrow nano with two classes, whose norms have counted."""
    torch.manual_seed(0)
    twin = yolox_twin.lively(yolox_twin.YOLOX(2, 0.33, WIDTH, depthwise=True))
    arrays = numpy_state(twin)
    for number, name in enumerate(arrays):
        if name.endswith("num_batches_tracked"):
            arrays[name] = np.array(1000 + number, np.int64)
    return arrays


def narrow(norm="batch"):
    detector = yolox_nano(norm=norm)
    return detector.clone(backbone=detector.backbone.clone(width=WIDTH))


@pytest.mark.parametrize("norm", ["batch", "frozen"])
def test_a_state_dict_comes_back_bit_by_bit_in_its_order(state_dict, norm):
    detector = fitted_to_yolox(narrow(norm), state_dict)
    assert detector.head.num_classes == 2
    variables = detector_from_yolox(state_dict, detector)
    counters = {n: x for n, x in state_dict.items() if "num_batches" in n}
    back = detector_to_yolox(variables, detector, counters)
    assert list(back) == list(state_dict)
    for name, array in state_dict.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_norms_that_have_not_counted_here_have_counted_nothing(state_dict):
    detector = fitted_to_yolox(narrow(), state_dict)
    variables = detector_from_yolox(state_dict, detector)
    back = detector_to_yolox(variables, detector)
    counters = [x for name, x in back.items() if name.endswith("num_batches_tracked")]
    assert len(counters) == 104 and not any(counters)
    assert {counter.dtype.name for counter in counters} == {"int64"}


def test_a_prefix_that_all_names_have_is_taken_off(state_dict):
    wrapped = {f"module.{name}": array for name, array in state_dict.items()}
    detector = fitted_to_yolox(narrow(), wrapped)
    assert detector.head.num_classes == 2
    assert detector_from_yolox(wrapped, detector)["params"].keys() == {
        *("backbone", "neck", "head")
    }


def test_a_file_of_another_size_is_known_by_its_names_and_its_stem():
    with torch.device("meta"):
        sizes = {
            "yolox_s": yolox_twin.YOLOX(3, 0.33, 0.5),
            "yolox_tiny": yolox_twin.YOLOX(3, 0.33, 0.375),
            "yolox_m": yolox_twin.YOLOX(80, 0.67, 0.75),
            None: yolox_twin.YOLOX(80, 0.33, 0.75),
        }
    for name, twin in sizes.items():
        assert released_size(twin.state_dict()) == name


@pytest.mark.parametrize(
    "change, message",
    [
        ({"backbone": ResNet(18)}, "no counterpart of ResNet, only of CSPDarknet"),
        ({"norm": None}, r"batch norms, got head.norm None"),
        ({"stem_form": "conv"}, "the stem 'focus', got backbone.stem_form 'conv'"),
        ({"levels": (2, 3, 4, 5)}, r"the levels \(3, 4, 5\), got backbone.levels \(2"),
    ],
)
def test_what_yolox_does_not_have_is_told(change, message):
    detector = yolox_s()
    if "backbone" in change:
        detector = detector.clone(**change)
    elif "norm" in change:
        detector = detector.clone(head=detector.head.clone(**change))
    else:
        detector = detector.clone(backbone=detector.backbone.clone(**change))
    with pytest.raises(ValueError, match=message):
        yolox_rules(detector)
