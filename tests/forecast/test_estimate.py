"""Topologies, and the programs on this machine."""

from dataclasses import replace

import jax
import pytest

from fpn_jax.forecast.estimate import forecast, needed_in_words
from fpn_jax.forecast.topology import read_topology
from fpn_jax.training import Config, DataConfig, EvaluationConfig, TrainConfig
from fpn_jax.training.lowering import lower_evaluation, lower_step, num_programs
from tests.support.tiny_detectors import DETECTORS


def test_topologies_by_name():
    slice_ = read_topology("v5e:4x4")
    assert slice_.num_devices == 16
    assert slice_.chip is not None and slice_.chip.clock == pytest.approx(1.503e9, 1e-3)
    assert read_topology("v5p:2x2x4").num_devices == 16
    assert read_topology("cpu").num_devices == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("v5", "topology must be one of 'cpu', 'v5e', 'v5p', 'v6e', got 'v5'"),
        ("v6e", r"topology: 'v6e' has no grid of chips; v6e:2x2 is four of them"),
        ("v5p:2", r"v5p:2x2x1 is four of them"),
        ("v5e:0x4", r"no grid of chips"),
    ],
)
def test_a_topology_that_is_none(name, words):
    with pytest.raises(ValueError, match=words):
        read_topology(name)


def config_of(name: str, *, parallelism="jit", batch_size: int = 4) -> Config:
    return Config(
        model=DETECTORS[name],
        data=DataConfig(canvas=(64, 64), batch_size=batch_size, max_boxes=3),
        train=TrainConfig(steps=60, parallelism=parallelism),
        evaluation=EvaluationConfig(batch_size=2),
    )


@pytest.mark.parametrize("name", ["faster", "mask", "keypoint", "retinanet"])
def test_the_programs_of_a_run_compile_for_devices(name):
    config, devices = config_of(name), jax.devices()[:2]
    for lowered in (lower_step(config, devices), lower_evaluation(config, devices)):
        made = forecast(lowered, None)
        assert made.fits
        assert made.memory is not None and made.memory.total > 0
        assert made.seconds is None  # nothing is estimated for a CPU


def test_by_pmap_too():
    config = config_of("proposals", parallelism="pmap")
    made = forecast(lower_step(config, jax.devices()[:2]), None)
    assert made.fits


def test_a_batch_that_devices_cannot_share():
    with pytest.raises(ValueError, match=r"data.batch_size .* 2 devices, got 3"):
        lower_step(config_of("proposals", batch_size=3), jax.devices()[:2])


def test_programs_of_a_canvas_that_turns():
    config = Config(data=DataConfig(canvas=(64, 96)))
    grouped = replace(config, data=replace(config.data, group_by_aspect=True))
    assert [num_programs(c) for c in (Config(), config, grouped)] == [2, 3, 4]


class TooLarge:
    """A lowered program that a compiler refuses as the TPU's does."""

    def __init__(self, words):
        self.words = words

    def compile(self):
        raise RuntimeError(f"RESOURCE_EXHAUSTED: {self.words}")


@pytest.mark.parametrize(
    "words",
    [
        "Ran out of memory in memory space hbm. Used 21.30G of 15.75G hbm. Exceeded "
        "hbm capacity by 5.55G.",
        "E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required "
        "for HLO temporaries (21.30G) exceeds available HBM (15.75G). HLO module: f.",
    ],
)
def test_what_does_not_fit_is_told_in_numbers(words):
    made = forecast(TooLarge(words), read_topology("v5e:2x2").chip)
    told = needed_in_words(made.needed_bytes, made.available_bytes)
    assert (made.fits, told) == (False, "22.87 of 16.91 GB")


def test_a_refusal_without_numbers_has_words():
    made = forecast(TooLarge("RESOURCE_EXHAUSTED"), read_topology("v5e:2x2").chip)
    told = needed_in_words(made.needed_bytes, made.available_bytes)
    assert (made.fits, told) == (False, "more memory than there is")


class Broken:
    def compile(self):
        raise RuntimeError("INTERNAL: something else")


def test_another_error_of_the_compiler_stays_one():
    with pytest.raises(RuntimeError, match="something else"):
        forecast(Broken(), None)
