"""The walkthrough runs with and without torch, and its stored outputs teach."""

import base64
import io
import re

import nbformat
import pytest
from PIL import Image

from tests.support.notebooks import EXPERIMENTS, printed, run, text_of


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(EXPERIMENTS / "walkthrough.ipynb", as_version=4)


@pytest.mark.slow
@pytest.mark.parametrize("torch", [True, False])
def test_the_walkthrough_prints_what_is_stored(stored, tmp_path, monkeypatch, torch):
    if torch:
        pytest.importorskip("torch")
    else:
        hidden = tmp_path / "hidden" / "torch.py"
        hidden.parent.mkdir()
        hidden.write_text("raise ModuleNotFoundError('torch')\n")
        monkeypatch.setenv("PYTHONPATH", str(hidden.parent))
    again = run("walkthrough.ipynb", tmp_path, STEPS=2)
    assert len(again.cells) == len(stored.cells)
    for new, old in zip(again.cells, stored.cells, strict=True):
        if new.cell_type == "code" and "varies" not in new.metadata.get("tags", ()):
            assert printed(new) == printed(old)
    expected = "are equal to PyTorch's" if torch else "PyTorch is not installed"
    assert expected in text_of(again, "compare_with_torch")


def test_the_stored_pictures_are_wide_enough_to_read(stored):
    widths = []
    for cell in stored.cells:
        for output in cell.get("outputs", ()):
            encoded = output.get("data", {}).get("image/jpeg")
            if encoded is not None:
                file = io.BytesIO(base64.b64decode(encoded))
                widths.append(Image.open(file).width)
    assert len(widths) >= 9 and min(widths) >= 900


def test_the_stored_training_finds_digits(stored):
    (recall,) = re.findall(r"(\d+)% average recall", text_of(stored, "metrics = train"))
    assert int(recall) >= 25


def test_the_stored_top_down_path_tells_the_fine_levels_what_there_is(stored):
    text = text_of(stored, "roc_auc_score")
    quality = {name: float(x) for name, x in re.findall(r"([CP]\d): ([\d.]+)%", text)}
    assert len(quality) == 8
    assert quality["P2"] > quality["C2"] + 5
    assert quality["P3"] > quality["C3"]


def test_the_stored_comparison_with_torch_was_made(stored):
    assert "are equal to PyTorch's" in text_of(stored, "compare_with_torch")
