"""The config tree as JSON, and back."""

import dataclasses
import json
from pathlib import Path

import optax
import pytest

from fpn_jax.backbones.vgg import VGG
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.training.batch_scaling import scale_to_batch
from fpn_jax.training.config import (
    Config,
    DataConfig,
    OptimizerConfig,
    TrainConfig,
    check_config,
)
from fpn_jax.training.config_file import (
    check_resumable,
    from_json,
    load_config,
    to_json,
    write_config,
)
from fpn_jax.training.experiment import load_experiment
from fpn_jax.zoo.digits import digits_faster_rcnn, digits_proposal_network
from fpn_jax.zoo.paper import rpn_resnet50_fpn

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("digits_*.py"))


def test_a_config_survives_json():
    model = rpn_resnet50_fpn().clone(backbone=VGG(depth=11, dtype="bfloat16"))
    config = Config(model=model, train=TrainConfig(steps=7, ema_decay=0.9))
    assert from_json(to_json(config)) == config


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_survives_json(path):
    config = load_experiment(path)
    check_config(config)
    assert from_json(to_json(config)) == config


def test_a_model_inside_a_model_survives_json():
    detector = digits_faster_rcnn()
    model = FastRCNN(
        proposals=digits_proposal_network(),
        backbone=detector.backbone,
        neck=detector.neck,
        box_head=detector.box_head,
    )
    config = Config(model=model, train=TrainConfig(pretrained=("a", "b.pth")))
    assert from_json(to_json(config)) == config


def test_only_classes_of_this_package_are_built():
    tree = json.loads(to_json(Config()))
    tree["data"] = {"class": "subprocess.Popen", "args": ["true"]}
    with pytest.raises(ValueError, match="'subprocess.Popen' is not of fpn_jax"):
        from_json(json.dumps(tree))


def test_only_settings_and_modules_are_built():
    tree = json.loads(to_json(Config()))
    tree["data"] = {"class": "fpn_jax.training.config_file.load_config", "run": "/"}
    with pytest.raises(ValueError, match="load_config' is not a config or a module"):
        from_json(json.dumps(tree))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json: .*line 1"),
        ("[]", "expected a Config"),
        ('{"class": "fpn_jax.training.config.Config", "modle": 1}', "modle"),
        ('{"class": "fpn_jax.training.config.Confg"}', "Confg"),
        ('{"data": 1}', "'class'"),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load_config(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_its_checkpoints_depend_on_cannot_change(tmp_path):
    write_config(Config(), tmp_path)
    longer = dataclasses.replace(Config(), train=TrainConfig(steps=2000))
    check_resumable(longer, tmp_path)
    with pytest.raises(ValueError, match="workdir: .* another model"):
        check_resumable(Config(model=rpn_resnet50_fpn()), tmp_path)
    other = dataclasses.replace(Config(), train=TrainConfig(seed=3))
    with pytest.raises(ValueError, match="begun with train.seed 0, got 3"):
        check_resumable(other, tmp_path)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("optimizer.name", {"name": "sgd"}),
        ("optimizer.accumulate", {"accumulate": 2}),
        ("optimizer.clip_norm", {"clip_norm": 1.0}),
        ("optimizer.decay_norms_and_biases", {"decay_norms_and_biases": True}),
    ],
)
def test_the_parts_of_an_optimizer_cannot_change(tmp_path, name, changes):
    begun = OptimizerConfig(name="adamw")
    write_config(Config(optimizer=begun), tmp_path)
    slower = dataclasses.replace(begun, learning_rate=1e-5, warmup_steps=9)
    check_resumable(Config(optimizer=slower), tmp_path)
    now = dataclasses.replace(begun, **changes)
    old, new = (getattr(each, name.partition(".")[2]) for each in (begun, now))
    with pytest.raises(ValueError, match=f"begun with {name} {old!r}, got {new!r}"):
        check_resumable(Config(optimizer=now), tmp_path)


def test_a_source_may_be_spelled_otherwise_but_not_be_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("coco", "voc"):
        (tmp_path / name).mkdir()

    def of(source: str) -> Config:
        return Config(data=DataConfig(source=source))

    write_config(of("coco"), "run")
    for source in ("coco/", "./coco", str(tmp_path / "coco")):
        check_resumable(of(source), "run")
    for source in ("voc", "nowhere", "digits"):
        with pytest.raises(ValueError, match=f"data.source 'coco', got '{source}'$"):
            check_resumable(of(source), "run")


def test_an_average_cannot_begin_or_end_on_the_way(tmp_path):
    write_config(Config(train=TrainConfig(ema_decay=0.9)), tmp_path)
    check_resumable(Config(train=TrainConfig(ema_decay=0.99)), tmp_path)
    with pytest.raises(ValueError, match="begun with train.ema_decay 0.9, got None"):
        check_resumable(Config(), tmp_path)


def test_settings_cannot_take_the_place_of_an_optimizer_of_the_users(tmp_path):
    write_config(Config(optimizer=optax.sgd), tmp_path)
    settings = "fpn_jax.training.config.OptimizerConfig"
    with pytest.raises(ValueError, match=f"optimizer optax.*sgd, got {settings}"):
        check_resumable(Config(), tmp_path)


def test_a_run_of_another_model_names_the_field(tmp_path):
    write_config(Config(), tmp_path)
    model = Config().model
    wide = model.clone(neck=model.neck.clone(channels=128))
    with pytest.raises(ValueError, match="another model: model.neck.channels: 64, got"):
        check_resumable(Config(model=wide), tmp_path)


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_a_learning_rate_is_a_finite_number(rate):
    config = Config(optimizer=OptimizerConfig(learning_rate=rate))
    with pytest.raises(ValueError, match="learning_rate must be a finite number, 0 or"):
        check_config(config)


def test_every_count_is_checked():
    for name in ("steps", "log_every", "evaluate_every", "save_every", "keep"):
        config = Config(train=TrainConfig(**{name: 0}))
        with pytest.raises(ValueError, match=f"train.{name} must be 1 or more, got 0"):
            check_config(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mosaic": 1.5}, "data.mosaic must be 0 … 1, got 1.5"),
        ({"mixup": -1}, "data.mixup must be 0 … 1, got -1"),
        ({"copy_paste": 2}, "data.copy_paste must be 0 … 1, got 2"),
        ({"crop": 7}, "data.crop must be 0 … 1, got 7"),
        ({"copy_paste": 0.5, "unmixed_steps": 9}, "data.unmixed_steps is 9, all of"),
        ({"unmixed_steps": -1}, "data.unmixed_steps must be 0 or more, got -1"),
        ({"mixup": 0.5, "unmixed_steps": 9}, "data.unmixed_steps is 9, all of the 9"),
        ({"canvas": (320, 100)}, "data.canvas must have sides that are multiples"),
    ],
)
def test_what_cannot_be_done_to_images_is_refused(settings, message):
    config = Config(data=DataConfig(**settings), train=TrainConfig(steps=9))
    with pytest.raises(ValueError, match=message):
        check_config(config)


def test_steps_are_not_skipped_between_the_parts_of_an_update():
    optimizer = OptimizerConfig(accumulate=2)
    config = Config(optimizer=optimizer, train=TrainConfig(max_skipped=1))
    with pytest.raises(ValueError, match="max_skipped is 1, which needs an update at"):
        check_config(config)


@pytest.mark.parametrize(
    ("optimizer", "came"),
    [(optax.adam(1e-3), "GradientTransformation"), (None, "None"), (1e-3, "float")],
)
@pytest.mark.parametrize("reference", [None, 16])
def test_an_optimizer_is_settings_or_a_function_of_the_steps(
    optimizer, came, reference
):
    train = TrainConfig(reference_batch_size=reference)
    with pytest.raises(ValueError, match=f"^optimizer must be .*, got {came}"):
        check_config(scale_to_batch(Config(optimizer=optimizer, train=train)))


def test_a_warm_up_ends_before_the_learning_rate_falls():
    optimizer = OptimizerConfig(schedule="step", milestones=(0.5,), warmup_steps=100)
    check_config(Config(optimizer=optimizer, train=TrainConfig(steps=300)))
    with pytest.raises(ValueError, match="warmup_steps is 100, .* at 100 of 200"):
        check_config(Config(optimizer=optimizer, train=TrainConfig(steps=200)))


def test_pmap_cannot_be_asked_to_be_deterministic():
    train = TrainConfig(deterministic=True, parallelism="pmap")
    with pytest.raises(ValueError, match="deterministic needs .*parallelism jit"):
        check_config(Config(train=train))
