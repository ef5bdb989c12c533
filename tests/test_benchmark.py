"""The benchmark command: what it prints, writes and refuses."""

import json

import pytest

from fpn_jax import benchmark
from fpn_jax.benchmarks.setting import Setting
from fpn_jax.benchmarks.timing import OURS, Contest


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """A machine without other load, and two rows that cost nothing."""
    rows = {
        "matmul.peak": lambda peer, setting: Contest(
            {OURS: lambda: None}, runs=3, flop=2e9
        ),
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
    assert report["environment"]["device"] == "cpu"
    assert report["environment"]["precision"] == "float32"
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


def test_rows_of_networks_are_told_the_precision(monkeypatch):
    told = []

    def peak(peer, setting):
        told.append(setting)
        return Contest({OURS: lambda: None}, runs=1)

    monkeypatch.setitem(benchmark.ROWS, "matmul.peak", peak)

    benchmark.main(["matmul.peak", "net", "--precision", "bfloat16"])

    assert told == [Setting("bfloat16")]


def test_the_step_of_sixteen_images_is_measured_by_name_only(monkeypatch, capsys):
    name = "train.retinanet.16x800x1344"
    monkeypatch.setitem(benchmark.ROWS, name, benchmark.ROWS["matmul.peak"])

    benchmark.main([])
    assert name not in capsys.readouterr().err
    benchmark.main([name])
    assert f"measuring {name}" in capsys.readouterr().err


def test_a_row_that_fails_keeps_those_before_it(monkeypatch, tmp_path, capsys):
    def too_large(peer):
        raise MemoryError("21 GB more were needed")

    file = tmp_path / "report.json"
    monkeypatch.setitem(benchmark.ROWS, "large", too_large)

    with pytest.raises(SystemExit):
        benchmark.main(["net", "large", "--json", str(file)])

    said = capsys.readouterr()
    assert "net" in said.out
    assert "out of memory" in said.err.splitlines()[-1]
    assert [row["row"] for row in json.loads(file.read_text())["results"]] == ["net"]


def test_rows_without_a_precision_compute_in_float32(monkeypatch):
    told = []
    real = benchmark.float32_products

    def products(precision, *, peer):
        told.append(precision)
        return real(precision, peer=peer)

    monkeypatch.setattr(benchmark, "float32_products", products)

    benchmark.main(["matmul.peak", "net", "--precision", "bfloat16"])

    assert told == ["bfloat16", "float32"]


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
        (["--json", "no/such/report.json"], ["no directory 'no/such'"]),
        (["--precision", "tf32"], ["tf32 needs a GPU", "on a CPU"]),
        (["--torch-compile"], ["--torch-compile", "--peer torchvision"]),
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
