"""Objects as YOLO's label files, one beside each image's name."""

from collections.abc import Collection
from pathlib import Path, PurePath

import numpy as np

from fpn_jax.results.names import OutputNames
from fpn_jax.results.outlines import largest_outline
from fpn_jax.results.result import Result


class YOLOFolder:
    """A text file for each image, a line for each object, as trainings of YOLO read.

    A line is the label and the box as center, width and height in shares of the image;
    of a model with keypoints followed by x, y and 2 ("seen") of each. Of a model with
    masks it is the label and the mask's largest outline in place of the box; a mask
    without area gives the box's four corners.
    """

    def __init__(self, folder: Path, inputs: Collection[Path] = ()):
        """Makes the folder; `inputs` are files that must not be overwritten."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._names = folder, OutputNames(folder, inputs)
        self._images = 0

    def add(self, name: str, place: PurePath, result: Result) -> None:
        """Writes the file of an image, which is empty where nothing was found."""
        path = self._names.path(place, ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{line}\n" for line in yolo_lines(result)]
        path.write_text("".join(lines), "utf-8")
        self._images += 1

    def close(self) -> str:
        """Returns a line that says what was written."""
        names = "file" if self._images == 1 else "files"
        return f"{self._images} label {names} in {self._folder}"


def yolo_lines(result: Result) -> list[str]:
    """Returns a line for each object."""
    height, width = result.size
    size = np.array([width, height], np.float32)
    lines = []
    for row, (label, box) in enumerate(zip(result.labels, result.boxes, strict=True)):
        low, high = np.clip(box.reshape(2, 2) / size, 0, 1)
        if result.masks is not None:
            outline = largest_outline(result.masks[row])
            corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
            numbers = corners if outline is None else np.clip(outline / size, 0, 1)
        else:
            numbers = np.concatenate([(low + high) / 2, high - low])
            if result.keypoints is not None:
                points = result.keypoints[row] / size
                seen = np.full((len(points), 1), 2)
                numbers = np.concatenate([numbers, np.hstack([points, seen]).ravel()])
        shares = " ".join(f"{number:.6g}" for number in np.ravel(numbers))
        lines.append(f"{label} {shares}")
    return lines
