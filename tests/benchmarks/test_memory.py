"""The memory of a process: what is printed of it, and what of one that fails."""

import numpy as np
import pytest

from fpn_jax.benchmarks import memory


def test_the_largest_size_is_printed(monkeypatch, capsys):
    def run():
        np.ones(50_000_000)  # 400 MB

    monkeypatch.setattr(memory, "_ready", lambda *work: run)
    memory.measure("jax", "inference", "any")

    assert float(capsys.readouterr().out) > 400


def test_a_process_that_fails_says_why():
    with pytest.raises(
        ValueError, match="inference of no_such by jax failed: .*no_such"
    ):
        memory.peak_memory("jax", "inference", "no_such")


def test_an_unknown_model_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        memory.main(["retinanet_resnet50"])

    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "nearest: 'retinanet_resnet50_fpn'" in line
