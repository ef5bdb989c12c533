"""The recipes for COCO: their commands, their full shapes, and a few of their steps."""

import dataclasses
import re
import shlex
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.command_line import parse
from fpn_jax.data.example import Category, KeypointSpec
from fpn_jax.evaluation.coco import KEYPOINTS, MASKS
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.training.config import check_config
from fpn_jax.training.experiment import load_experiment
from fpn_jax.training.metrics import read_metrics
from fpn_jax.training.optimizer import make_optimizer
from fpn_jax.training.state import create_state
from fpn_jax.training.step import train_step
from fpn_jax.training.validation import measures_of
from tests.support import formats
from tests.support.commands import run

torch, torchvision = import_torchvision()

PATHS = sorted((Path(__file__).parents[2] / "experiments").glob("coco_*.py"))
RECIPES = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
PERSON = (Category(1, "person"),)
POINTS = KeypointSpec(
    names=tuple(f"{side}_{n}" for n in range(8) for side in ("left", "right"))
    + ("nose",),
    flip=(*(n ^ 1 for n in range(16)), 16),
    sigmas=(0.05,) * 17,
)


def commands(path: Path) -> dict[str, list[str]]:
    """Returns the arguments of each command of the docstring by its comment."""
    text = path.read_text().split('"""')[1].replace("\\\n", " ")
    found = re.findall(r"^    (\S.*?) *# (.*)$", text, re.MULTILINE)
    lines = {comment: shlex.split(line) for line, comment in found}
    assert list(lines) == ["ResNet-50, 1x", "ResNet-101", "3x"]
    first = lines["ResNet-50, 1x"]
    start = ["python", "-m", "fpn_jax.train", f"experiments/{path.name}"]
    assert first[:4] == start and lines["3x"][0] == lines["ResNet-101"][0] == "…"
    return {
        "ResNet-50, 1x": first[4:],
        "ResNet-101": lines["ResNet-101"][1:],
        "3x": lines["3x"][1:],
    }


def config_of(path: Path, *names: str):
    words = commands(path)
    arguments = [word for name in names for word in words[name]]
    default = load_experiment(path)
    return parse(
        type(default),
        arguments,
        command="train",
        default=default,
    )


@RECIPES
def test_the_commands_give_depth_schedule_and_weights(path):
    first = config_of(path, "ResNet-50, 1x")
    assert first == dataclasses.replace(
        load_experiment(path),
        train=dataclasses.replace(first.train, pretrained=("resnet50-0676ba61.pth",)),
    )
    last = config_of(path, "ResNet-101", "3x")
    assert (first.model.backbone.depth, last.model.backbone.depth) == (50, 101)
    assert last.train.pretrained == ("resnet101-63fe2227.pth",)
    assert (first.train.steps, last.train.steps) == (90_000, 270_000)
    # Detectron2's steps of the learning rate, in thousands.
    for config, falls in ((first, [60, 80]), (last, [210, 250])):
        check_config(config)
        shares = np.multiply(config.optimizer.milestones, config.train.steps / 1000)
        assert shares.round().tolist() == falls


@pytest.mark.slow
@RECIPES
@pytest.mark.parametrize("depth, canvas", [(50, (800, 1344)), (101, (1344, 800))])
def test_a_step_fits_together_at_full_shapes(path, depth, canvas):
    config = load_experiment(path)
    model = config.model.clone(backbone=config.model.backbone.clone(depth=depth))
    optimizer = make_optimizer(config.optimizer, config.train.steps)
    state = jax.eval_shape(
        partial(create_state, model, optimizer, canvas=canvas, seed=0, ema=False)
    )
    shape = jax.ShapeDtypeStruct
    boxes = config.data.max_boxes
    batch = {
        "images": shape((2, *canvas, 3), jnp.uint8),
        "sizes": shape((2, 2), jnp.int32),
        "boxes": shape((2, boxes, 4), jnp.float32),
        "labels": shape((2, boxes), jnp.int32),
        "valid": shape((2, boxes), jnp.bool_),
        "crowd": shape((2, boxes), jnp.bool_),
    }
    if MASKS in measures_of(model):
        side = config.data.mask_size
        batch["masks"] = shape((2, boxes, side, side), jnp.uint8)
        batch["mask_regions"] = batch["boxes"]
    if KEYPOINTS in measures_of(model):
        batch["keypoints"] = shape((2, boxes, 17, 3), jnp.float32)
    step = partial(train_step, model=model, optimizer=optimizer)
    new_state, losses = jax.eval_shape(step, state, batch)
    assert jax.tree.map(lambda leaf: leaf.shape, new_state) == jax.tree.map(
        lambda leaf: leaf.shape, state
    )
    assert losses["loss"].shape == ()


@pytest.fixture(scope="module")
def coco(tmp_path_factory) -> Path:
    """A miniature as COCO is published: things of ten classes, persons of 17 points."""
    root = tmp_path_factory.mktemp("data") / "coco"
    pairs = formats.miniature(24)
    for split, part in {"train": pairs[:20], "val": pairs[20:]}.items():
        formats.write_official(root, part, split)
        persons = [as_person(example) for example, _ in part]
        text = formats.coco_json([(one, b"") for one in persons], PERSON)
        (root / f"annotations/person_keypoints_{split}2017.json").write_text(text)
    return root


def as_person(example):
    """Returns the example with a seen point at random places of each box."""
    random = np.random.default_rng(example.image_id).random
    boxes = example.boxes[:, None]
    places = boxes[..., :2] + random((len(boxes), 17, 2)) * (
        boxes[..., 2:] - boxes[..., :2]
    )
    points = np.concatenate([places, np.full((len(boxes), 17, 1), 2)], axis=-1)
    return dataclasses.replace(
        example,
        labels=0 * example.labels,
        keypoints=points.astype(np.float32),
        keypoint_spec=POINTS,
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet50(weights=None).state_dict(), path)
    return path


@pytest.mark.slow
@RECIPES
def test_some_steps_on_a_miniature(path, coco, weights, tmp_path):
    model = load_experiment(path).model
    heads = [
        name
        for name in ("head", "box_head", "mask_head")
        if getattr(getattr(model, name, None), "num_classes", 1) > 1
    ]
    smaller = [f"--model.{name.replace('_', '-')}.num-classes=10" for name in heads]
    if hasattr(model, "box_head"):
        smaller.append("--model.box-head.num-samples=16")
    done = run(
        *("train", path, "--workdir", tmp_path / "run", "--data.source", coco),
        *("--train.pretrained", weights, "--data.canvas", 96, 96, *smaller),
        *("--data.batch-size", 2, "--data.workers", 1, "--train.steps", 8),
        *("--train.evaluate-every", 8, "--train.log-every", 1),
        # The warm-up stays, which no milestone then leaves room for: features of random
        # weights behind frozen norms are huge, a Mask R-CNN diverges without it.
        *("--optimizer.schedule", "constant"),
        *("--evaluation.batch-size", 2),
        cache=tmp_path / "cache",
        timeout=800,
    )
    assert done.returncode == 0, done.stderr
    rows = read_metrics(tmp_path / "run")
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 9))
    assert all(np.isfinite(row["loss"]) for row in rows if "loss" in row)
    # An eighth of the recipe's, at the start of the warm-up.
    base = load_experiment(path).optimizer.peak
    assert f"learning rate {base / 8:g} in place of {base:g}" in done.stdout
    assert rows[0]["learning_rate"] == pytest.approx(base / 8 / 1000, rel=1e-3)
    assert "AR@100" in rows[-1]
