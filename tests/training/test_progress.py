import math
import re
from io import StringIO

import pytest
from rich.console import Console

from fpn_jax.training import progress
from fpn_jax.training.progress import ProgressDisplay


@pytest.fixture
def clock(monkeypatch):
    """Returns a list whose last number is the time in seconds."""
    times = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: times[-1])
    return times


def test_the_rate_counts_images_since_the_last_call(clock, capsys):
    display = ProgressDisplay(10, first_step=0, batch_size=8, images=40)
    clock.append(2.0)
    assert display.step(1, {"loss": 3.0})["images_per_second"] == 4.0
    clock.append(3.0)
    assert display.step(3, {"loss": 2.5})["images_per_second"] == 16.0
    # Three steps took 3 s, so seven take 7 s.
    assert capsys.readouterr().out.splitlines() == [
        "step 1/10  epoch 1/2  4.0 images/s  0:18 left  loss 3.0000",
        "step 3/10  epoch 1/2  16.0 images/s  0:07 left  loss 2.5000",
    ]


def test_a_step_that_was_not_timed_has_no_rate(clock, capsys):
    display = ProgressDisplay(10, first_step=0, batch_size=8, images=40)
    clock.append(60.0)  # the compilation
    display.restart(1)
    assert all(math.isnan(rate) for rate in display.step(1, {"loss": 3.0}).values())
    assert "images/s" not in capsys.readouterr().out
    clock.append(62.0)
    assert display.step(2, {"loss": 3.0})["images_per_second"] == 4.0


def test_the_share_of_waiting_is_told_where_it_is_much(clock, capsys):
    display = ProgressDisplay(10, first_step=0, batch_size=8, images=40)
    for seconds in (1.0, 3.0):
        clock.append(seconds)
        with display.waiting():
            clock.append(seconds + 0.5)
    clock.append(4.0)
    assert display.step(2, {"loss": 3.0})["waiting_for_data"] == 0.25
    clock.append(8.0)
    assert display.step(3, {"loss": 3.0})["waiting_for_data"] == 0.0
    first, second = capsys.readouterr().out.splitlines()
    assert "left  25% waiting for data  loss" in first and "waiting" not in second


def test_step_rate_time_left_and_loss_are_seen_on_80_columns(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    display = ProgressDisplay(90000, first_step=0, batch_size=16, images=117266)
    shown = StringIO()
    terminal = Console(file=shown, width=80, force_terminal=True, highlight=False)
    clock.append(1.0)
    losses = {f"loss/term_{n}": 0.1 for n in range(6)} | {"loss": 0.6}
    display.step(89000, losses)
    terminal.print(display.live)
    (line,) = plain(shown.getvalue()).splitlines()
    assert "step 89000/90000  epoch 13/13 " in line
    assert "1424000.0 images/s  0:00 left  loss 0.6000  ter" in line
    assert len(line) <= 80


def test_compiling_is_said_once_for_each_program(clock, capsys):
    display = ProgressDisplay(10, first_step=0, batch_size=8, images=40)
    display.compiling("the training step")
    display.evaluating()
    display.evaluating()
    said = capsys.readouterr().out
    assert said == "compiling the training step\ncompiling the evaluation\n"


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
