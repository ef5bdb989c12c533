"""Objects of many images as a table in a CSV file."""

import csv
from pathlib import Path, PurePath

from fpn_jax.results.result import Result

_COLUMNS = ("image", "name", "label", "score", "x1", "y1", "x2", "y2")


class CSVFile:
    """A row for each object: image, name, label, score, x1, y1, x2, y2 in pixels."""

    def __init__(self, path: Path):
        """Opens the file, and writes the names of the columns."""
        self._path, self._objects = path, 0
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(_COLUMNS)

    def add(self, name: str, place: PurePath, result: Result) -> None:
        """Writes the objects of an image."""
        for row in result.rows():
            self._rows.writerow(
                [name, row["name"], row["label"], row["score"], *row["box"]]
            )
        self._objects += len(result)

    def close(self) -> str:
        """Ends the file, and returns a line that says so."""
        self._file.close()
        objects = "object" if self._objects == 1 else "objects"
        return f"{self._objects} {objects} in {self._path}"
