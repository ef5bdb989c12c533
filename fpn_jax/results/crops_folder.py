"""Each object as a picture of its own."""

from collections.abc import Collection
from pathlib import Path, PurePath

from fpn_jax.results.names import OutputNames
from fpn_jax.results.result import Result
from fpn_jax.visualize.pictures import save_image

_UNSAFE = '/\\:*?"<>|'  # in names of files, on some system


class CropsFolder:
    """A folder for each class, with the part of the image in each object's box."""

    def __init__(self, folder: Path, inputs: Collection[Path] = ()):
        """Takes the folder, which is made with its first picture.

        `inputs` are files that must not be overwritten.
        """
        self._folder, self._names = folder, OutputNames(folder, inputs)
        self._crops = 0

    def add(self, name: str, place: PurePath, result: Result) -> None:
        """Writes the objects of an image."""
        if not len(result):
            return  # the image is not decoded for nothing
        for class_name, crop in zip(result.class_names, result.crops(), strict=True):
            safe = "".join("_" if mark in _UNSAFE else mark for mark in class_name)
            folder = PurePath(safe.strip(". ") or "_")
            save_image(self._names.path(folder / place.name, ".jpg"), crop)
            self._crops += 1

    def close(self) -> str:
        """Returns a line that says what was written."""
        crops = "crop" if self._crops == 1 else "crops"
        return f"{self._crops} {crops} in {self._folder}"
