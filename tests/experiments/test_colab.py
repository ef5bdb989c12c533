"""The Colab notebook detects, trains by jit and by pmap, and predicts."""

import re
from collections import Counter

import nbformat
import pytest

from tests.support.notebooks import EXPERIMENTS, printed, run, text_of


@pytest.mark.slow
def test_the_colab_notebook_trains_by_jit_and_by_pmap_and_predicts(tmp_path):
    notebook = run("colab_tpu.ipynb", tmp_path, STEPS=2, VALIDATION="validation[:16]")
    by_jit, by_pmap = (
        [float(word) for word in re.findall(r"\d+\.\d+", line)]
        for line in text_of(notebook, "make_programs").splitlines()
    )
    # Rounding chooses among the proposals of an untrained network.
    assert len(by_jit) == 2 and by_jit == pytest.approx(by_pmap, rel=1e-2)
    assert (tmp_path / "digits_run" / "predictions.json").exists()
    assert "2 cpu device(s)" in printed(notebook.cells[2])
    # Where the published weights cannot be downloaded, one line says so.
    (line,) = text_of(notebook, '"yolox_nano"').splitlines()
    assert line.startswith(("Result(", "No photograph is detected. yolox_nano: "))


def test_the_stored_photograph_is_detected_rightly():
    stored = nbformat.read(EXPERIMENTS / "colab_tpu.ipynb", as_version=4)
    assert "(1 person, 1 tie)" in text_of(stored, '"yolox_nano"')


def test_the_stored_training_finds_digits():
    stored = nbformat.read(EXPERIMENTS / "colab_tpu.ipynb", as_version=4)
    (ap,) = re.findall(r"'AP': ([\d.]+)", text_of(stored, "metrics = train"))
    assert float(ap) >= 0.45
    lines = text_of(stored, "draw_truth").splitlines()
    true, found, more_true, more_found = (re.findall(r"\d", line) for line in lines)
    true, found = Counter(true + more_true), Counter(found + more_found)
    assert (true & found).total() >= 0.75 * max(true.total(), found.total())
