"""Two checkouts that take turns: the other one here is slow, and has a single row."""

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


def test_a_row_that_the_other_does_not_have_is_passed_over(tmp_path, capfd):
    other = checkout(tmp_path, CONTEST)
    assert main([other, "nms.random.0.7", ROW, "--rounds", "1"]) == 2
    out, err = capfd.readouterr()
    assert out.startswith(f"{ROW}: ")
    assert "KeyError: 'nms.random.0.7'" in err
    line = "two_commits: nms.random.0.7: a process ended, and says above why\n"
    assert err.endswith(line)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none"], "other: no checkout of this project in none"),
        ([".", "--rounds", "0"], "rounds is 0, and must be at least 1"),
    ],
)
def test_wrong_input_is_one_line(arguments, line, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"two_commits: {line}\n"
