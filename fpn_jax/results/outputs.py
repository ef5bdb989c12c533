"""The files and folders that the results of many images are written to."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Protocol

from fpn_jax.results.coco_file import COCOFile
from fpn_jax.results.crops_folder import CropsFolder
from fpn_jax.results.csv_file import CSVFile
from fpn_jax.results.label_studio import LabelStudioFile
from fpn_jax.results.result import Result
from fpn_jax.results.yolo_folder import YOLOFolder


class Output(Protocol):
    """A file or folder that results of many images are written to."""

    def add(self, name: str, place: PurePath, result: Result) -> None: ...

    def close(self) -> str:
        """Ends it, and returns a line that says what was written."""
        ...


@contextlib.contextmanager
def opened_outputs(
    *,
    json: Path | None,
    csv: Path | None,
    yolo: Path | None,
    crops: Path | None,
    label_studio: Path | None,
    model: str,
    inputs: Collection[Path],
) -> Iterator[list[Output]]:
    """Gives what results are written to, and says at the end what was written.

    Args:
        json: file of COCO's results.
        csv: file of a table.
        yolo: folder of YOLO's label files.
        crops: folder of the objects as pictures.
        label_studio: file of Label Studio's tasks.
        model: name that Label Studio knows the detector by.
        inputs: files that must not be overwritten.
    """
    outputs: list[Output] = []
    if json is not None:
        outputs.append(COCOFile(json))
    if csv is not None:
        outputs.append(CSVFile(csv))
    if yolo is not None:
        outputs.append(YOLOFolder(yolo, inputs))
    if crops is not None:
        outputs.append(CropsFolder(crops, inputs))
    if label_studio is not None:
        outputs.append(LabelStudioFile(label_studio, model))
    try:
        yield outputs
    finally:  # also where Ctrl-C ends it
        for output in outputs:
            print(output.close())
