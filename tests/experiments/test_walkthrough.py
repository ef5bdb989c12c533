"""The walkthrough prints what is stored in it."""

import nbformat
import pytest

from tests.support.notebooks import EXPERIMENTS, printed, run


@pytest.mark.slow
def test_the_walkthrough_prints_what_is_stored(tmp_path):
    stored = nbformat.read(EXPERIMENTS / "walkthrough.ipynb", as_version=4)
    again = run("walkthrough.ipynb", tmp_path, STEPS=60)
    assert len(again.cells) == len(stored.cells)
    for new, old in zip(again.cells, stored.cells, strict=True):
        if new.cell_type != "code" or "varies" in new.metadata.get("tags", ()):
            continue
        assert printed(new) == printed(old)
    pictures = [output for cell in stored.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", ()) for output in pictures) >= 5
