"""The benchmark command: what it prints, writes and refuses."""

import json

import pytest

from fpn_jax import benchmark
from fpn_jax.benchmarks.timing import OURS, Contest


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """A machine without other load, and two rows that cost nothing."""
    rows = {
        "matmul.peak": lambda peer: Contest({OURS: lambda: None}, runs=3, flop=2e9),
        "net": lambda peer: Contest(
            {OURS: lambda: None} | ({"torchvision": lambda: None} if peer else {}),
            runs=1,
            flop=1e9,
            difference=1e-6 if peer else None,
        ),
    }
    monkeypatch.setattr(benchmark, "ROWS", rows)
    monkeypatch.setattr(benchmark, "busy_share", lambda: 0.02)


def test_a_report_holds_environment_and_results(tmp_path, capsys):
    file = tmp_path / "report.json"

    assert benchmark.main(["--peer", "torchvision", "--json", str(file)]) == 0

    report = json.loads(file.read_text())
    assert report["environment"]["busy_share"] == 0.02
    assert report["environment"]["jaxlib"]
    peak, ours, theirs = report["results"]
    assert (peak["row"], ours["row"], theirs["contestant"]) == (
        "matmul.peak",
        "net",
        "torchvision",
    )
    assert peak["peak_share"] is None  # it is the peak
    assert ours["gflops"] == pytest.approx(1 / ours["median"])
    assert ours["peak_share"] == pytest.approx(ours["gflops"] / peak["gflops"])
    assert theirs["ratio"] == pytest.approx(theirs["median"] / ours["median"])
    said = capsys.readouterr()
    assert "torchvision" in said.out
    assert said.err.splitlines() == ["measuring matmul.peak", "measuring net"]


def test_without_a_peer_ours_runs_alone(tmp_path):
    file = tmp_path / "report.json"

    benchmark.main(["net", "--json", str(file)])

    (only,) = json.loads(file.read_text())["results"]
    assert (only["row"], only["contestant"], only["difference"]) == ("net", OURS, None)
    assert only["peak_share"] is None  # the peak was not measured


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ned"], ["row must be one of", "'ned'", "nearest: 'net'"]),
        (["--peer", "torchvison"], ["torchvison", "torchvision"]),
        (["--jsn", "x"], ["--jsn"]),
    ],
)
def test_wrong_input_is_one_line_and_status_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        benchmark.main(arguments)

    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words)


def test_a_busy_machine_is_refused_unless_allowed(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "busy_share", lambda: 0.6)

    with pytest.raises(SystemExit):
        benchmark.main(["net"])
    assert "use 60% of the cores' time" in capsys.readouterr().err
    assert benchmark.main(["net", "--allow-busy"]) == 0
