"""What is known of a detector, by its fields and properties, and what is refused."""

import flax.linen as nn
import pytest
from flax.errors import DescriptorAttributeError

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.detectors.contract import facts, with_dtype, with_thresholds
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.zoo.digits import digits_proposal_network


class Plain(nn.Module):
    """A detector of the user's, whose limits cannot be set."""

    num_classes: int = 3
    measures: tuple[str, ...] | str = ("boxes",)

    def __call__(self, images, sizes, *, train=False): ...

    def loss(self, images, sizes, targets, *, keys, train=False): ...

    def detect(self, images, sizes): ...


class Scored(Plain):
    """One that has a threshold of its scores alone."""

    score_threshold: float = 0.1

    def with_thresholds(self, *, score_threshold=None):
        return self.clone(score_threshold=score_threshold)


class Mistaken(Plain):
    @property
    def frozen(self):
        return self.no_such_field


class Mute(nn.Module):
    def __call__(self, pyramid, boxes, valid=None, *, canvas, train=False): ...


def test_limits_are_set_by_the_detector_itself():
    ours = with_thresholds(digits_proposal_network(), max_detections=5)
    assert ours.head.post_nms == 5
    limits = {"score_threshold": 0.5, "nms_threshold": None}
    assert with_thresholds(Scored(), **limits).score_threshold == 0.5


def test_a_detector_without_limits_is_left_as_it_is():
    model = Plain()
    assert with_thresholds(model, score_threshold=None, max_detections=None) is model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Plain(), "max_detections: Plain has no with_thresholds, by which"),
        (Scored(), "max_detections: Scored.with_thresholds has no such argument"),
    ],
)
def test_a_limit_that_cannot_be_set_is_named(model, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        with_thresholds(model, max_detections=5)


def test_an_error_inside_a_property_is_not_taken_for_its_absence():
    assert facts(Plain()).frozen == ()
    with pytest.raises((AttributeError, DescriptorAttributeError)):
        facts(Mistaken())


def test_a_box_head_without_classes_is_named():
    model = TwoStage(Dummy(), FPN(8), RPNHead(), Mute())
    with pytest.raises(ValueError, match="^model.box_head: Mute has no num_classes$"):
        facts(model)


def test_a_string_for_a_tuple_of_names_is_refused():
    message = r"model.measures must be a tuple of names, got .* write \('boxes',\)"
    with pytest.raises(ValueError, match=message):
        facts(Plain(measures="boxes"))


def test_a_type_to_compute_in_is_for_all_parts_or_is_refused():
    half = with_dtype(digits_proposal_network(), "bfloat16")
    assert half.backbone.dtype == half.neck.dtype == half.head.dtype == "bfloat16"
    with pytest.raises(ValueError, match="^dtype: Plain and its parts have no field"):
        with_dtype(Plain(), "bfloat16")
