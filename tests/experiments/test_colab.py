"""The Colab notebook trains by jit and by pmap, and predicts."""

import re

import pytest

from tests.support.notebooks import printed, run


@pytest.mark.slow
def test_the_colab_notebook_trains_by_jit_and_by_pmap_and_predicts(tmp_path):
    notebook = run("colab_tpu.ipynb", tmp_path, STEPS=2, VALIDATION="validation[:16]")
    (text,) = (printed(c) for c in notebook.cells if "make_programs" in c.source)
    by_jit, by_pmap = (
        [float(word) for word in re.findall(r"\d+\.\d+", line)]
        for line in text.splitlines()
    )
    # Rounding chooses among the proposals of an untrained network.
    assert len(by_jit) == 2 and by_jit == pytest.approx(by_pmap, rel=1e-2)
    assert (tmp_path / "digits_run" / "predictions.json").exists()
    assert "2 cpu device(s)" in printed(notebook.cells[2])
