"""How many images `auto` takes, where what a step needs is known or really compiled."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from fpn_jax import compilation
from fpn_jax.compilation import bytes_of
from fpn_jax.data.digits.dataset import write_digits
from fpn_jax.training import batch_size
from fpn_jax.training.batch_size import automatic_batch_size, with_batch_size
from fpn_jax.training.given_settings import without_automatic
from fpn_jax.training.loop import train
from fpn_jax.training.lowering import lower_step
from fpn_jax.training.run import load_run
from tests.support.miniature import get_config

ONE_DEVICE = SimpleNamespace(
    devices=lambda: [SimpleNamespace(platform="cpu")], process_count=lambda: 1
)


class Canvas:
    """A program whose size is the area of the canvas."""

    def __init__(self, config):
        height, width = config.data.canvas
        self.area = height * width

    def compile(self):
        return self.area


@pytest.fixture
def compiled(monkeypatch):
    """Programs that need 100 bytes, and 10 for each image; the sizes that are tried."""
    tried = []

    class Lowered:
        def __init__(self, config):
            self.size = config.data.batch_size

        def compile(self):
            tried.append(self.size)
            return self.size

    monkeypatch.setattr(batch_size, "jax", ONE_DEVICE)
    monkeypatch.setattr(batch_size, "lower_step", lambda config, _: Lowered(config))
    monkeypatch.setattr(compilation, "bytes_of", lambda size: 100 + 10 * size)
    return tried


def free(monkeypatch, number: float) -> None:
    monkeypatch.setattr(batch_size, "free_bytes", lambda: number)


def chosen(images: int = 1000) -> int:
    return automatic_batch_size(get_config(), images)[0]


def test_a_line_through_two_sizes_meets_the_memory(compiled, monkeypatch):
    free(monkeypatch, 500)  # 400 of it
    assert chosen() == 30
    assert compiled == [1, 2, 30]


def test_no_more_than_64_and_than_there_are_images(compiled, monkeypatch):
    free(monkeypatch, 1e9)
    assert chosen() == 64
    assert chosen(images=10) == 10


def test_one_image_where_two_are_too_many(compiled, monkeypatch):
    free(monkeypatch, 118 / 0.8)
    assert chosen() == 1
    assert 2 in compiled


def test_a_step_that_the_compiler_refuses_is_too_large(compiled, monkeypatch):
    """As a TPU's does, in GiB: two images need 3, and 2 are there."""

    def of(size: int) -> int:
        if size > 1:
            raise RuntimeError(
                "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used "
                f"{1.5 * size:.2f}G of 2.00G hbm."
            )
        return int(1.5 * 2**30)

    monkeypatch.setattr(compilation, "bytes_of", of)
    free(monkeypatch, 2 * 2**30)
    assert chosen() == 1
    assert compiled == [1, 2]


def test_a_refusal_without_a_number_stays_an_error(compiled, monkeypatch):
    def refused(size: int) -> int:
        raise RuntimeError("RESOURCE_EXHAUSTED: of something else")

    monkeypatch.setattr(compilation, "bytes_of", refused)
    free(monkeypatch, 500)
    with pytest.raises(RuntimeError, match="of something else"):
        chosen()


def test_a_step_that_needs_more_than_the_line_says_is_made_smaller(
    compiled, monkeypatch
):
    """By the line 29 images need 390 bytes; really they need 580, and 19 need 380."""
    real = {1: 110, 2: 120, 29: 580, 19: 380}
    monkeypatch.setattr(compilation, "bytes_of", real.__getitem__)
    free(monkeypatch, 500 - 1e-6)
    assert chosen() == 19


def test_a_canvas_that_is_too_large_names_one_that_would_fit(compiled, monkeypatch):
    """A step of 96x96 px needs 110 bytes, 70 by its area: one of 64x64 px needs 71."""
    monkeypatch.setattr(batch_size, "lower_step", lambda config, _: Canvas(config))
    monkeypatch.setattr(compilation, "bytes_of", lambda area: 40 + 70 * area / 96**2)
    free(monkeypatch, 60 / 0.8)
    with pytest.raises(MemoryError, match="one image of 96x96 .*canvas 32 32 would"):
        chosen()
    free(monkeypatch, 72 / 0.8)
    with pytest.raises(MemoryError, match="canvas 64 64 would fit"):
        chosen()
    free(monkeypatch, 40 / 0.8)
    with pytest.raises(MemoryError, match="no canvas would fit"):
        chosen()


def test_all_processes_take_the_least_memory_of_any(compiled, monkeypatch):
    several = SimpleNamespace(devices=ONE_DEVICE.devices, process_count=lambda: 2)
    monkeypatch.setattr(batch_size, "jax", several)
    memories = lambda own: np.array([own, 300.0])  # noqa: E731
    monkeypatch.setattr(multihost_utils, "process_allgather", memories)
    free(monkeypatch, 500)
    assert chosen() == 14  # of 240 bytes


def test_memory_that_is_not_known_is_one_line(compiled, monkeypatch):
    free(monkeypatch, float("inf"))
    with pytest.raises(ValueError, match="data.batch_size: cpu does not tell its mem"):
        chosen()


def test_a_word_other_than_auto_names_it():
    with pytest.raises(ValueError, match=r"'autom' given, .* whole number or auto"):
        without_automatic(["--data.batch-size", "autom"])


@pytest.mark.parametrize(
    "form", [["--data.batch-size", "auto"], ["--data.batch-size=auto"]]
)
def test_the_word_auto_leaves_the_batch_size_open(form, tmp_path):
    rest, opened = without_automatic(["--train.steps", "3", *form, "--train.seed", "1"])
    assert rest == ["--train.steps", "3", "--train.seed", "1"]
    assert opened == {"data.batch_size"}
    assert without_automatic(["--data.batch-size", "8"]) == (
        ["--data.batch-size", "8"],
        frozenset(),
    )
    (tmp_path / "config.json").write_text('{"data": {"batch_size": 37}}')
    begun = ["--workdir", str(tmp_path)]
    options = [*begun, "--data.batch-size=37"]
    assert without_automatic([*begun, *form]) == (options, frozenset())


def test_a_run_takes_what_was_found_and_keeps_it(tmp_path, monkeypatch, capsys):
    """The real programs, and memory for five images on each of eight devices."""
    digits = tmp_path / "digits" / "1.0.0"
    digits.parent.mkdir()
    write_digits(digits, {"train": 48, "validation": 8})
    config = get_config()
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, source=str(digits)),
        train=dataclasses.replace(config.train, steps=2, reference_batch_size=4),
    )

    def needed(each: int) -> int:
        step = lower_step(with_batch_size(config, 8 * each), jax.devices())
        return bytes_of(step.compile())

    free(monkeypatch, (needed(5) + needed(6)) / 2 / 0.8)

    train(config, tmp_path / "run", fitted={"data.batch_size"}, typed={"train.steps"})

    said = capsys.readouterr().out
    assert "batches of 40 images: a step needs" in said
    assert "batches of 40, the settings are for 4: " in said
    assert "learning rate 0.01 in place of 0.001" in said
    assert load_run(tmp_path / "run").config.data.batch_size == 40
