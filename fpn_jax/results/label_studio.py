"""Objects as pre-annotations of Label Studio, to be corrected there by people."""

import json
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from fpn_jax.results.outlines import largest_outline
from fpn_jax.results.result import Result


class LabelStudioFile:
    """A JSON file of tasks with predictions, which Label Studio imports.

    Its labeling interface needs an `Image` named `image` with the value `$image`, and
    for it `RectangleLabels` named `label`; of a model with masks `PolygonLabels` named
    `outline`, of one with keypoints `KeyPointLabels` named `keypoint`. A task's image
    is the name that was predicted from: a web address as it is, a file by its path.
    """

    def __init__(self, path: Path, model: str):
        """Takes the path of the file, which is written by `close`, and the model's."""
        self._path, self._model = path, model
        self._tasks: list[dict[str, Any]] = []

    def add(self, name: str, place: PurePath, result: Result) -> None:
        """Adds a task for an image."""
        prediction = {"model_version": self._model, "result": regions(result)}
        if len(result):
            prediction["score"] = float(result.scores.mean())
        self._tasks.append({"data": {"image": name}, "predictions": [prediction]})

    def close(self) -> str:
        """Writes the file, and returns a line that says so."""
        self._path.write_text(json.dumps(self._tasks, indent=1) + "\n", "utf-8")
        tasks = "task" if len(self._tasks) == 1 else "tasks"
        return f"{len(self._tasks)} {tasks} in {self._path}"


def regions(result: Result) -> list[dict[str, Any]]:
    """Returns Label Studio's regions; their places are percents of the image."""
    height, width = result.size
    percent = np.array([100 / width, 100 / height])
    image = {"original_width": width, "original_height": height, "image_rotation": 0}
    found = []
    for row, (name, score) in enumerate(
        zip(result.class_names, result.scores.tolist(), strict=True)
    ):
        low, high = result.boxes[row].reshape(2, 2) * percent
        place = {"x": low[0], "y": low[1], "rotation": 0}
        sides = {"width": high[0] - low[0], "height": high[1] - low[1]}
        values = [("rectanglelabels", "label", place | sides)]
        if result.masks is not None:
            outline = largest_outline(result.masks[row])
            if outline is not None:
                points = (outline * percent).tolist()
                values = [("polygonlabels", "outline", {"points": points})]
        if result.keypoints is not None:
            # A share of the image's width that is drawn as a dot of a few pixels.
            dots = result.keypoints[row] * percent
            values += [
                ("keypointlabels", "keypoint", {"x": x, "y": y, "width": 0.5})
                for x, y in dots.tolist()
            ]
        found += [
            image
            | {"from_name": tag, "to_name": "image", "type": kind, "score": score}
            | {"value": value | {kind: [name]}}
            for kind, tag, value in values
        ]
    return found
