"""The report of chips: what it prints of a forecast, and what it returns."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fpn_jax.forecast import report
from fpn_jax.forecast.estimate import Forecast, Memory
from fpn_jax.forecast.topology import read_topology
from fpn_jax.training import Config

FITS = Forecast(
    fits=True,
    compiled_in=61.0,
    memory=Memory(arguments=10**9, results=10**9, working=2 * 10**9, shared=10**9),
    seconds=0.02,
    share_of_peak=0.25,
    rows=1234,
    moved=5 * 10**6,
    guessed_loops=5,
    modules={"box_head, backward": 0.004},
    instructions=((0.003, "fusion bf16[4,5]: rpn: add"),),
    collective_bytes={"all-reduce": 16_100_000},
    hidden_bytes={"all-reduce": 4_000_000},
)
TOO_LARGE = Forecast(
    fits=False, compiled_in=3.0, needed_bytes=22.87e9, available_bytes=16.91e9
)


@pytest.fixture
def made(monkeypatch):
    """Forecasts by the batch of a program: the programs are only their batches."""

    def use(step: Forecast, largest: int = 4) -> None:
        monkeypatch.setattr(report, "devices_of", lambda _: [SimpleNamespace()])
        monkeypatch.setattr(report, "lower_evaluation", lambda *_: 0)
        monkeypatch.setattr(report, "lower_step", lambda config, _: size_of(config))

        def forecast(size: int, chip) -> Forecast:
            if size == Config().data.batch_size:
                return step
            return FITS if size <= largest else TOO_LARGE

        monkeypatch.setattr(report, "forecast", forecast)

    return use


def size_of(config: Config) -> int:
    return config.data.batch_size


def test_time_memory_and_what_is_dear_are_told(made, capsys):
    made(FITS)
    topology = read_topology("v5e:1x1")
    found = report.preflight_report(Config(), topology, search=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "training step: 3.00 of 16 GB of a device: arguments 1.00" in said
    assert "a step is estimated at 20.0 ms, 200 images/s, 25% of the peak" in said
    assert "in it 1,234 gathered or scattered rows" in said
    assert "all-reduce: 16.1 MB, 4.0 of them beside other work" in said
    assert "4.00 │ box_head, backward" in said
    assert "3.00 │ fusion bf16[4,5]: rpn: add" in said
    assert found["fits"] and found["images_per_second"] == pytest.approx(200)
    assert found["hours"] == pytest.approx(Config().train.steps * 0.02 / 3600)
    assert found["training_step"]["modules"] == FITS.modules


def test_a_batch_that_does_not_fit_says_so_and_names_the_largest(made, capsys):
    made(TOO_LARGE, largest=3)
    topology = read_topology("v5e:1x1")
    found = report.preflight_report(Config(), topology, search=True)
    said = capsys.readouterr().out
    assert "training step: does not fit, 22.87 of 16.91 GB" in said
    assert not found["fits"] and found["largest_batch_size"] == 3
    assert "no batch was refused" not in said


def test_a_search_that_met_no_refusal_says_so(made, monkeypatch, capsys):
    made(FITS)
    monkeypatch.setattr(
        report,
        "forecast",
        lambda size, chip: replace(FITS, memory=Memory(0, 0, 10**8 * size, 0)),
    )
    topology = read_topology("v5e:1x1")
    found = report.preflight_report(Config(), topology, search=True)
    assert 150 <= found["largest_batch_size"] <= 160
    assert "no batch was refused" in capsys.readouterr().out
