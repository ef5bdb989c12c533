"""What a module of a user's owes the others, each rule broken in turn."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.detectors.check import check_model
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.heads.retinanet import RetinaNetHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.types import Detections, LossTerm
from fpn_jax.zoo.digits import digits_faster_rcnn, digits_proposal_network

CANVAS = (64, 96)
BACKBONE, NECK = Dummy(levels=(2, 3)), FPN(8, extra="none")


class Neck(nn.Module):
    """A neck of the user's that gives what it is told to."""

    channels: tuple[int, ...] = (8, 8)
    levels: tuple[int, ...] = (2, 3)

    @nn.compact
    def __call__(self, pyramid, *, train=False):
        items = zip(self.levels, self.channels, strict=True)
        return {n: nn.Conv(c, (1, 1))(pyramid[n]) for n, c in items}


class Head(nn.Module):
    """A dense head of the user's that gives what it is told to."""

    num_classes: int = 3
    terms: Any = None  # by default a term of the loss
    found: Any = None  # by default detections
    levels: tuple[int, ...] | None = None

    @nn.compact
    def __call__(self, pyramid, *, train=False):
        x = pyramid[max(pyramid)]
        noise = self.make_rng("noise") if train else None
        return nn.Dense(1)(x) + (0 if noise is None else jax.random.normal(noise, ()))

    def loss(self, outputs, sizes, targets, *, canvas, keys=None):
        if self.terms == "bare":
            return {"a": jnp.sum(outputs)}
        if self.terms == "per image":
            return {"a": LossTerm(outputs.sum(axis=(1, 2, 3)), jnp.ones(()))}
        if self.terms == "alone":
            return LossTerm(jnp.sum(outputs), jnp.ones(()))
        return {"a": LossTerm(jnp.sum(outputs), jnp.ones(()))}

    def detections(self, outputs, sizes, *, canvas):
        if self.found == "tuple":
            return outputs, sizes
        found = nothing_found(sizes, numbers=3 if self.found == "thin" else 4)
        if self.found == "no scores":
            return found.replace(scores=None)
        if self.found == "few labels":
            return found.replace(labels=found.labels[:, 1:])
        return found


def nothing_found(sizes, numbers=4) -> Detections:
    scores = jnp.zeros((len(sizes), 5))
    return Detections(
        boxes=jnp.zeros((len(sizes), 5, numbers)),
        scores=scores,
        labels=scores.astype(jnp.int32),
        valid=scores > 0,
    )


class HeadWithoutTrain(nn.Module):
    num_classes: int = 3

    def __call__(self, pyramid):
        return pyramid

    def loss(self, outputs, sizes, targets, *, canvas):
        return {}

    def detections(self, outputs, sizes, *, canvas):
        return {}


class Growing(nn.Module):
    """A backbone that sows what the state would keep, longer at each step."""

    @nn.compact
    def __call__(self, images, *, train=False):
        pyramid = Dummy(levels=(2, 3), name="inner")(images)
        self.sow("seen", "mean", images.mean())
        return pyramid


class Raising(nn.Module):
    @nn.compact
    def __call__(self, images, *, train=False):
        raise KeyError("of the user's")


class Whole(nn.Module):
    """A detector of the user's without a backbone or a neck by that name."""

    measures: tuple[str, ...] = ("boxes",)
    num_classes: int | None = 3

    @nn.compact
    def __call__(self, images, sizes, *, train=False):
        return nn.Dense(1)(images.astype(jnp.float32).mean(axis=(1, 2)))

    def loss(self, images, sizes, targets, *, keys, train=False):
        total = jnp.sum(self(images, sizes)) + jnp.sum(targets.boxes)
        if "masks" in self.measures:
            total += jnp.sum(targets.masks)
        return {"a": LossTerm(total, jnp.ones(()))}

    def detect(self, images, sizes):
        return nothing_found(sizes)


class Mute(nn.Module):
    num_classes: int = 3

    def __call__(self, images, sizes, *, train=False):
        return images


class Drawing(nn.Module):
    """A backbone that draws random numbers whether it is trained or not."""

    @nn.compact
    def __call__(self, images, *, train=False):
        noise = jax.random.normal(self.make_rng("dropout"), ())
        return Dummy(levels=(2, 3), name="inner")(images + noise)


class Frozen(nn.Module):
    """A backbone that names what is frozen."""

    frozen: Any = ()

    @nn.compact
    def __call__(self, images, *, train=False):
        low = nn.Conv(4, (4, 4), strides=4, name="c2")(images)
        return {2: low, 3: nn.Conv(4, (2, 2), strides=2, name="c3")(low)}


def check(backbone=BACKBONE, neck=NECK, head=None):
    check_model(OneStage(backbone, neck, head or Head()), CANVAS)


def test_what_keeps_the_contract_passes():
    check()
    check(neck=Neck())
    check(backbone=Frozen(("c2", "c3/kernel")))
    check(backbone=ResNet(18, width=8, levels=(2, 3), frozen_stages=5))
    check_model(Whole(), CANVAS)
    check_model(Whole(num_classes=None), CANVAS)


def test_models_of_ours_pass():
    check_model(digits_faster_rcnn(), (320, 320))
    check_model(digits_proposal_network(), CANVAS)


BROKEN = {
    "head without train": (
        {"head": HeadWithoutTrain()},
        "model.head: HeadWithoutTrain.__call__ has no argument 'train'",
    ),
    "unlike channels": (
        {"neck": Neck(channels=(8, 4))},
        "model.neck: all levels must have the same number of channels, got .*3: 4",
    ),
    "levels that the neck has not": (
        {"head": Head(levels=(2, 4))},
        r"model.head.levels are \(2, 4\), the neck gives \[2, 3\]: no level 4",
    ),
    "a loss without a count": (
        {"head": Head(terms="bare")},
        r"model.loss: 'a' must be a LossTerm of two numbers, .* got an array \[\]",
    ),
    "a loss of each image": (
        {"head": Head(terms="per image")},
        r"model.loss: 'a' must be .* got a LossTerm of \(2,\) and \(\)",
    ),
    "a loss without a name": (
        {"head": Head(terms="alone")},
        r"model.loss must return a dict .name: LossTerm., got a LossTerm",
    ),
    "detections of another kind": (
        {"head": Head(found="tuple")},
        "model.detect must return Detections, got a tuple",
    ),
    "boxes of three numbers": (
        {"head": Head(found="thin")},
        r"model.detect: boxes must be \[B, D, 4\], got \[2, 5, 3\] for B = 2",
    ),
    "no number of a score": (
        {"head": Head(found="no scores")},
        r"model.detect: scores must be \[B, D\] = \[2, 5\], as the boxes, got \[\]",
    ),
    "labels of another number": (
        {"head": Head(found="few labels")},
        r"model.detect: labels must be \[B, D\] = \[2, 5\], as the .*got \[2, 4\]",
    ),
    "draws without training": (
        {"backbone": Drawing()},
        "model.loss: a module draws .* although train is False: .*for .dropout.",
    ),
    "no frozen part by that name": (
        {"backbone": Frozen(("c2", "c33"))},
        "model.frozen must be one of 'backbone/c2', 'backbone/c3', got 'backbone/c33' "
        r"\(nearest: 'backbone/c3'\)",
    ),
    "no frozen part below": (
        {"backbone": Frozen(("c2/kernels",))},
        "model.frozen must be .*nearest: 'backbone/c2/kernel'",
    ),
    "a string of a frozen part": (
        {"backbone": Frozen("c3")},
        "model.backbone.frozen must be a tuple of names, got the string 'c3'",
    ),
    "variables that grow": (
        {"backbone": Growing()},
        "model: a step changes the shapes of its variables 'seen'; what is sown",
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_one_line(rule):
    parts, message = BROKEN[rule]
    with pytest.raises(ValueError, match=f"^{message}") as error:
        check(**parts)
    assert "\n" not in str(error.value)


def test_a_detector_without_a_method_is_told():
    with pytest.raises(ValueError, match="model: Mute has no loss, which a detector"):
        check_model(Mute(), CANVAS)


def test_a_measure_that_does_not_exist_is_told():
    message = "model.measures must be one of .* got 'mask' .nearest: 'masks'"
    with pytest.raises(ValueError, match=message):
        check_model(Whole(measures=("boxes", "mask")), CANVAS)


def test_masks_that_are_measured_must_be_given():
    model = Whole(measures=("boxes", "masks"))
    with pytest.raises(
        ValueError, match="has 'masks', but model.detect gives no masks"
    ):
        check_model(model, CANVAS)


def test_an_error_of_the_users_code_is_the_users():
    with pytest.raises(KeyError, match="of the user's"):
        check(backbone=Raising())


def test_levels_above_the_canvas_are_rounded_up():
    backbone = Dummy(levels=(4, 5))  # 96 / 2**6 = 1.5, 96 / 2**7 = 0.75
    head = RetinaNetHead(3, anchor_sizes=4 * ((8,),), num_convs=0)
    check(backbone, FPN(8, extra="conv_p5"), head)
