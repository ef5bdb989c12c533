"""Runs a notebook as it is, but for its parameters."""

import os
import re
from pathlib import Path

import nbclient
import nbformat

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
_SECONDS = 840  # of one cell, where three processes share two slow cores


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
    ).execute(env=os.environ | {"PYTHONPATH": path, "JAX_NUM_CPU_DEVICES": "2"})
    return notebook


def printed(cell) -> str:
    """What a cell printed."""
    streams = (output for output in cell.outputs if output.output_type == "stream")
    return "".join(stream.text for stream in streams if stream.name == "stdout")


def text_of(notebook, words: str) -> str:
    """What the one code cell with these words printed."""
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    (cell,) = (cell for cell in code if words in cell.source)
    return printed(cell)
