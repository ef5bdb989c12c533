"""Both notebooks run; what the walkthrough prints is what is stored in it."""

import os
import re
from pathlib import Path

import nbclient
import nbformat
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
_SECONDS = 300  # of one cell
# What they compile runs a few steps only, so it is compiled fast.
_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def run(name: str, folder: Path, **parameters: object):
    """Returns the notebook with the outputs of this execution in an empty folder.

    Args:
        parameters: in the place of those of the cell that sets them, all of them.
    """
    notebook = nbformat.read(EXPERIMENTS / name, as_version=4)
    nbformat.validate(notebook)
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    assert re.findall("^(.*?) = ", cell.source, re.MULTILINE) == list(parameters)
    cell.source = "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    path = os.pathsep.join([str(EXPERIMENTS.parent), os.environ.get("PYTHONPATH", "")])
    nbclient.NotebookClient(
        notebook, timeout=_SECONDS, resources={"metadata": {"path": str(folder)}}
    ).execute(
        env=os.environ
        | {"PYTHONPATH": path, "JAX_NUM_CPU_DEVICES": "2"}
        | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {_FLAGS}"}
    )
    return notebook


def printed(cell) -> str:
    """What a cell printed."""
    streams = (output for output in cell.outputs if output.output_type == "stream")
    return "".join(stream.text for stream in streams if stream.name == "stdout")


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
