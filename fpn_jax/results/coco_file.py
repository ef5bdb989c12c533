"""COCO's results of many images in one file."""

import json
from pathlib import Path, PurePath

from fpn_jax.results.result import Result


class COCOFile:
    """A list of COCO's results (`evaluation/records.py`) in a JSON file.

    An image's id is the number in its file's name, as COCO's files are named, where all
    are named so and unlike; otherwise images are counted from 1. Each row also has the
    name of its image and of its category.
    """

    def __init__(self, path: Path):
        """Takes the path of the file, which is written by `close`."""
        self._path = path
        self._images: list[tuple[PurePath, list[dict]]] = []

    def add(self, name: str, place: PurePath, result: Result) -> None:
        """Adds the objects of an image."""
        rows = [
            {"image": name, **row, "category": category}
            for row, category in zip(result.to_coco(0), result.class_names, strict=True)
        ]
        self._images.append((place, rows))

    def close(self) -> str:
        """Writes the file, and returns a line that says so."""
        ids = coco_image_ids([place for place, _ in self._images])
        rows = [
            row | {"image_id": image_id}
            for image_id, (_, rows) in zip(ids, self._images, strict=True)
            for row in rows
        ]
        self._path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
        objects = "object" if len(rows) == 1 else "objects"
        return f"{len(rows)} {objects} in {self._path}"


def coco_image_ids(places: list[PurePath]) -> list[int]:
    """Returns the numbers in the files' names, or 1, 2, … where these do not tell."""
    stems = [place.stem for place in places]
    if all(stem.isdecimal() for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return [*range(1, len(places) + 1)]
