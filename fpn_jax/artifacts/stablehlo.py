"""StableHLO by `jax.export`: one file for CPU, TPU and CUDA."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from fpn_jax.artifacts.program import Batch, Program, abstract_inputs

PLATFORMS = ("cpu", "tpu", "cuda")

Run = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]


def write_stablehlo(
    program: Program, canvas: tuple[int, int], batch: Batch, path: Path
) -> Run:
    """Writes the program into a zip archive, and returns what runs the file.

    The archive has `program`, as `jax.export` serializes it, and `metadata.json` once
    `describe_stablehlo` has added it.

    Raises ValueError, one line, where flatbuffers is not installed.
    """
    try:
        exported = export.export(jax.jit(program), platforms=PLATFORMS)(
            *abstract_inputs(canvas, batch)
        )
        data = exported.serialize()
    except ImportError as error:
        raise ValueError(
            "format: stablehlo needs flatbuffers: pip install 'fpn-jax[export]'"
        ) from error
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program", bytes(data))
    return stablehlo_runner(path)


def describe_stablehlo(path: Path, description: Mapping[str, Any]) -> None:
    """Adds the description to a written file."""
    with zipfile.ZipFile(path, "a") as archive:
        program = export.deserialize(bytearray(archive.read("program")))
        form = {
            "platforms": program.platforms,
            "calling_convention": program.calling_convention_version,
        }
        text = json.dumps({**description, **form}, indent=1)
        archive.writestr("metadata.json", text)


def stablehlo_runner(path: Path) -> Run:
    """Returns a function that runs a file, compiled for each shape of its images."""
    with zipfile.ZipFile(path) as archive:
        program = export.deserialize(bytearray(archive.read("program")))
    call = jax.jit(program.call)
    return lambda images, sizes: jax.device_get(call(images, sizes))
