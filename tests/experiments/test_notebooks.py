"""The notebooks as stored."""

import nbformat
import pytest

from tests.support.notebooks import EXPERIMENTS


@pytest.mark.parametrize("name", ["walkthrough.ipynb", "colab_tpu.ipynb"])
def test_stored_outputs_are_small_and_of_one_execution(name):
    path = EXPERIMENTS / name
    assert path.stat().st_size < 1_000_000
    cells = nbformat.read(path, as_version=4).cells
    counts = [cell.execution_count for cell in cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not any(
        output.output_type == "error"
        for cell in cells
        for output in cell.get("outputs", ())
    )
