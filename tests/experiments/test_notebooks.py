"""The notebooks as stored."""

import re

import nbformat
import pytest

from tests.support.notebooks import EXPERIMENTS


@pytest.fixture(params=["walkthrough.ipynb", "colab_tpu.ipynb"])
def path(request):
    return EXPERIMENTS / request.param


def test_stored_outputs_are_small_and_of_one_execution(path):
    assert path.stat().st_size < 1_500_000
    cells = nbformat.read(path, as_version=4).cells
    counts = [cell.execution_count for cell in cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not any(
        output.output_type == "error"
        for cell in cells
        for output in cell.get("outputs", ())
    )


def test_stored_outputs_show_no_warning_and_no_path_of_the_machine(path):
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert not any(output.get("name") == "stderr" for output in outputs)
    texts = [
        output.get("text", "") + "".join(output.get("data", {}).get("text/plain", ""))
        for output in outputs
    ]
    path_from_the_root = re.compile(r"(?<![\w./:])/\w+/\w")
    assert not any(path_from_the_root.search(text) for text in texts)
    assert not any("Warning" in text for text in texts)
