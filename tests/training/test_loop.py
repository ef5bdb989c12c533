"""The run as a whole, in this process: what it compiles, how it stops."""

import dataclasses
import itertools
import time

import jax
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.data.digits.dataset import write_digits
from fpn_jax.data.loader import training_batches
from fpn_jax.parity.layouts import numpy_state
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.training import data as training_data
from fpn_jax.training import loop
from fpn_jax.training.checkpoint import Checkpoints
from fpn_jax.training.loop import train
from fpn_jax.training.metrics import read_metrics
from fpn_jax.training.programs import abstract_state
from fpn_jax.training.step_numbers import NonFiniteLoss
from tests.support import formats
from tests.support.compilations import count_compilations
from tests.support.miniature import get_config

torch, torchvision = import_torchvision()


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    directory = tmp_path_factory.mktemp("digits") / "1.0.0"
    write_digits(directory, {"train": 16, "validation": 8})
    config = get_config()
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, source=str(directory)),
        model=config.model.clone(backbone=Dummy(levels=(2, 3))),  # compiles fast
    )


def test_the_last_steps_of_a_run_are_not_mixed(config, tmp_path, monkeypatch):
    class Asked(Exception):
        pass

    def ask(source, batching, **settings):
        asked.update(settings, max_boxes=batching.max_boxes)
        raise Asked

    asked = {}
    monkeypatch.setattr(training_data, "training_batches", ask)
    data = dataclasses.replace(config.data, mosaic=0.5, mixup=0.2, unmixed_steps=3)
    with pytest.raises(Asked):
        train(dataclasses.replace(config, data=data), tmp_path)
    changes = asked["changes"]
    assert changes.last_from == config.train.steps - 3
    assert len(changes.transforms) == len(changes.last) + 2
    # Four images, and the other one of a mix-up.
    assert asked["max_boxes"] == 5 * config.data.max_boxes


def with_training(config, **changes):
    return dataclasses.replace(
        config, train=dataclasses.replace(config.train, **changes)
    )


@pytest.mark.parametrize("parallelism", ["jit", "pmap"])
def test_a_run_compiles_three_programs_and_nothing_after_its_first_evaluation(
    config, tmp_path, parallelism
):
    config = with_training(config, parallelism=parallelism, ema_decay=0.9)
    with count_compilations() as compiled:
        metrics = train(config, tmp_path)  # evaluates twice, saves four times
    assert len(compiled) == 3  # initial state, training step, evaluation step
    assert 0 <= metrics["AR@100"] <= 1


def test_upright_images_take_one_more_step_and_evaluation(config, tmp_path):
    formats.write_official(tmp_path / "coco", formats.miniature(40), "train")
    formats.write_official(tmp_path / "coco", formats.miniature(9), "val")  # 1 lies
    data = dataclasses.replace(
        config.data,
        source=str(tmp_path / "coco"),
        canvas=(64, 96),
        skip_empty=True,
        group_by_aspect=True,
    )
    grouped = dataclasses.replace(with_training(config, steps=16), data=data)
    with count_compilations() as compiled:
        train(grouped, tmp_path / "run")
    # Initial state; a step and an evaluation for each canvas.
    assert len(compiled) == 5
    for changes, message in (
        ({"skip_empty": False}, "begun with data.skip_empty True"),
        ({"group_by_aspect": False}, "begun with data.group_by_aspect True"),
        ({"canvas": (96, 96)}, r"begun with data.canvas \(64, 96\)"),
    ):
        other = dataclasses.replace(data, **changes)
        with pytest.raises(ValueError, match=message):
            train(dataclasses.replace(grouped, data=other), tmp_path / "run")


def test_a_deterministic_run_asks_xla_for_it_in_step_and_evaluation(
    config, tmp_path, monkeypatch
):
    asked, jit = [], jax.jit

    def ask(*arguments, compiler_options=None, **options):
        if compiler_options:
            asked.append(compiler_options)
        return jit(*arguments, compiler_options=compiler_options, **options)

    monkeypatch.setattr(jax, "jit", ask)
    train(
        with_training(config, deterministic=True, steps=2, evaluate_every=2), tmp_path
    )
    assert asked == 2 * [{"xla_gpu_deterministic_ops": True}]


def test_a_complete_run_is_only_evaluated_again(config, tmp_path):
    config = with_training(config, steps=2, evaluate_every=2)
    first = train(config, tmp_path)
    again = train(config, tmp_path)
    assert again == first
    assert len(validations(tmp_path)) == 1
    longer = train(with_training(config, steps=4), tmp_path)
    assert longer["loss"] != first["loss"]
    assert [r["step"] for r in read_metrics(tmp_path) if "loss" in r] == [2, 4]
    assert validations(tmp_path) == [2, 4]


def test_a_validation_that_a_signal_cut_short_is_done_at_the_resumption(
    config, tmp_path
):
    train(with_training(config, steps=2, evaluate_every=2), tmp_path)
    file = tmp_path / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "AR@100" not in line))
    train(with_training(config, steps=4, evaluate_every=2), tmp_path)
    assert validations(tmp_path) == [2, 4]


def test_a_clock_that_goes_backwards_changes_nothing(config, tmp_path, monkeypatch):
    expected = train(with_training(config, steps=4), tmp_path / "steady")
    clock, now = itertools.count(), time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600 * next(clock))
    run = tmp_path / "backwards"
    train(with_training(config, steps=2, evaluate_every=2), run)
    assert train(with_training(config, steps=4, evaluate_every=2), run) == expected
    assert next(clock) > 10  # somebody asked
    assert validations(run) == [2, 4]


def validations(run) -> list[int]:
    """Returns the steps of the rows that a validation wrote."""
    return [row["step"] for row in read_metrics(run) if "AR@100" in row]


def test_a_loss_that_is_not_finite_stops_with_step_and_term(config, tmp_path):
    rate = dataclasses.replace(
        config.optimizer, name="sgd", learning_rate=1e30, warmup_steps=0
    )
    exploding = dataclasses.replace(config, optimizer=rate)
    with pytest.raises(NonFiniteLoss, match=r"loss\S* is (nan|inf) at step 2"):
        train(exploding, tmp_path)
    assert not (tmp_path / "checkpoints" / "2").exists()  # nothing bad is saved
    skipping = with_training(exploding, max_skipped=2, steps=9)
    with pytest.raises(NonFiniteLoss, match="at step 4, after 2 that were skipped"):
        train(skipping, tmp_path / "skipping")


def test_a_batch_without_a_finite_loss_is_skipped_and_counted(
    config, tmp_path, monkeypatch
):
    def poisoned(*arguments, **settings):
        batches = training_batches(*arguments, **settings)
        take = batches.__next__
        taken = itertools.count(1)

        def next_one(self):
            batch = take()
            if next(taken) in (2, 3):
                batch["boxes"] = batch["boxes"] * np.float32(np.nan)
            return batch

        monkeypatch.setattr(type(batches), "__next__", next_one)
        return batches

    monkeypatch.setattr(training_data, "training_batches", poisoned)
    config = with_training(config, steps=4, max_skipped=2, log_every=1)
    metrics = train(config, tmp_path)
    assert np.isfinite(metrics["loss"])
    rows = [row for row in read_metrics(tmp_path) if "skipped" in row]
    assert [row["skipped"] for row in rows] == [0, 1, 1, 0]
    assert ["loss" in row for row in rows] == [True, False, False, True]
    state, _ = Checkpoints(tmp_path, best="AP").restore(abstract_state(config), 4)
    assert state.step == 4
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_imagenet_weights_start_the_backbone(config, tmp_path):
    torch.manual_seed(0)
    model = randomize_norms(torchvision.models.resnet18())
    path = tmp_path / "resnet18.pth"
    torch.save(model.state_dict(), path)
    backbone = ResNet(18, levels=(2, 3))
    config = dataclasses.replace(config, model=config.model.clone(backbone=backbone))
    # No step moves anything: what is saved is what was loaded.
    still = dataclasses.replace(config.optimizer, learning_rate=0.0)
    config = dataclasses.replace(config, optimizer=still)
    config = with_training(config, steps=1, pretrained=(str(path),))
    train(config, tmp_path / "run")

    from fpn_jax.training.run import load_run

    kernel = load_run(tmp_path / "run").variables["params"]["backbone"]["stem"]["conv"]
    wanted = numpy_state(model)["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(jax.device_get(kernel["kernel"]), wanted)


def test_patience_ends_a_run_which_then_stays_ended(config, tmp_path, capsys):
    """The learning rate is 0: the second evaluation is as good as the first."""
    still = dataclasses.replace(
        with_training(config, patience=1, steps=40),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=0.0),
        evaluation=dataclasses.replace(config.evaluation, best="AR@100"),
    )
    metrics = train(still, tmp_path)
    said = capsys.readouterr().out
    assert "ended at step 8 of 40: train.patience is 1" in said
    assert [row["step"] for row in read_metrics(tmp_path) if "AP" in row] == [4, 8]
    again = train(still, tmp_path)
    assert again["AP"] == metrics["AP"]
    assert max(row["step"] for row in read_metrics(tmp_path)) == 8
    assert (tmp_path / "checkpoints" / "best").resolve().name in ("4", "8")


def test_a_plot_that_cannot_be_drawn_is_told_and_the_run_goes_on(
    config, tmp_path, monkeypatch, caplog
):
    def break_down(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr(loop, "write_report", break_down)
    train(with_training(config, steps=2), tmp_path)
    assert "The plots of step 2 are not drawn: RuntimeError('no font')" in caplog.text
    assert (tmp_path / "checkpoints" / "2").is_dir()


def test_hours_end_a_run_and_it_goes_on_to_the_same_bits(config, tmp_path, capsys):
    train(with_training(config, hours=1e-9), tmp_path / "stopped")
    said = capsys.readouterr().out
    assert "ended at step 2 of 8: train.hours is 1e-09; the same command with" in said
    assert f"--workdir {tmp_path / 'stopped'} goes on" in said
    assert (tmp_path / "stopped" / "plots" / "samples.png").exists()
    train(config, tmp_path / "stopped")
    train(config, tmp_path / "whole")
    ends = []
    for name in ("stopped", "whole"):
        saved = Checkpoints(tmp_path / name, best="AP")
        state, _ = saved.restore(abstract_state(config), 8)
        ends.append((state.params, state.opt_state))
        saved.close()
    jax.tree.map(np.testing.assert_array_equal, *ends)
    rows = [
        [row for row in read_metrics(tmp_path / name) if row["step"] > 2]
        for name in ("stopped", "whole")
    ]
    losses = [[row["loss"] for row in each if "loss" in row] for each in rows]
    assert losses[0] == losses[1] and len(losses[0]) == 3
