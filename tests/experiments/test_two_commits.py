"""Two checkouts that take turns: the other one here is slow, or broken."""

import pytest

from experiments.two_commits import main

ROW = "nms.random.0.5"
CONTEST = """
import time
from types import SimpleNamespace
run = lambda: time.sleep(0.1)
ROWS = {"nms.random.0.5": lambda peer: SimpleNamespace(contestants={"": run}, runs=1)}
"""


def checkout(folder, benchmark):
    package = folder / "fpn_jax"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "runtime.py").write_text("def set_up(): pass")
    (package / "benchmark.py").write_text(benchmark)
    return str(folder)


def test_ratio_above_one_says_that_the_other_is_slower(tmp_path, capsys):
    other = checkout(tmp_path, CONTEST)
    assert main([other, ROW, "--rounds", "1"]) == 0
    name, ratio = capsys.readouterr().out.partition(" (")[0].split(": ")
    assert name == ROW
    assert float(ratio) > 5  # 100 ms beside half a millisecond


def test_a_checkout_that_fails_ends_the_comparison(tmp_path, capfd):
    other = checkout(tmp_path, "raise RuntimeError('of another time')")
    with pytest.raises(SystemExit, match="a process ended"):
        main([other, ROW, "--rounds", "1"])
    assert "of another time" in capfd.readouterr().err


def test_a_folder_without_the_package_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="no checkout of this project in"):
        main([str(tmp_path)])
