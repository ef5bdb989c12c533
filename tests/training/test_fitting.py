"""The options that a refused start names are ones that the command line takes."""

import dataclasses
import shlex

import pytest

from fpn_jax.command_line import parse
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.training.config import Config
from fpn_jax.training.config_file import write_config
from fpn_jax.training.fitting import fitting_options
from fpn_jax.zoo.digits import digits_faster_rcnn, digits_one_stage

OURS = digits_faster_rcnn()
POOL = dataclasses.replace(OURS.box_head.pool, size=14, aligned=True)


def changed(part: str, **fields):
    return OURS.clone(**{part: getattr(OURS, part).clone(**fields)})


@pytest.mark.parametrize(
    ("theirs", "options"),
    [
        (changed("backbone", depth=34), "--model.backbone.depth 34"),
        (changed("backbone", stride_in_1x1=True), "--model.backbone.stride-in-1x1"),
        (changed("neck", lateral=False), "--model.neck.no-lateral"),
        (changed("neck", norm=None), "--model.neck.norm None"),
        (changed("neck", levels=(2, 3, 4)), "--model.neck.levels 2 3 4"),
        (
            changed("rpn", anchor_sizes=((8, 9), (16, 18), (32,), (64,), (128,))),
            "--model.rpn.anchor-sizes.0 8 9 --model.rpn.anchor-sizes.1 16 18",
        ),
        (
            changed("box_head", pool=POOL),
            "--model.box-head.pool.aligned --model.box-head.pool.size 14",
        ),
    ],
)
def test_options_make_the_model_of_the_run(tmp_path, theirs, options):
    run = tmp_path / "my run"
    write_config(Config(model=theirs), run)
    said = fitting_options(str(run), OURS)
    assert said == f"; what would fit: {options} --train.pretrained '{run}'"
    chosen = parse(
        Config,
        shlex.split(said.partition("fit: ")[2]),
        command="train",
        default=Config(model=OURS),
    )
    assert chosen.model == theirs and chosen.train.pretrained == (str(run),)


@pytest.mark.parametrize(
    "theirs",
    [
        digits_one_stage(FCOSHead(3)),
        OURS.clone(mask_head=MaskHead(10)),
        changed("rpn", anchor_sizes=((8,), (16,))),
    ],
)
def test_what_no_option_changes_is_taken_from_the_run(tmp_path, theirs):
    write_config(Config(model=theirs), tmp_path)
    said = fitting_options(str(tmp_path), OURS)
    assert said.endswith(f"model=load_config('{tmp_path}').model, of fpn_jax.training")


def test_what_changes_no_shape_needs_no_option(tmp_path):
    write_config(Config(model=changed("neck", dtype="bfloat16")), tmp_path)
    assert fitting_options(str(tmp_path), OURS) == ""
