"""Names for what is written of many images: unlike each other, and of no input."""

from collections.abc import Collection
from pathlib import Path, PurePath


class OutputNames:
    """Gives each image a path in a folder, all different, and none an image's.

    The picture of a/1.jpg is a/1.png, or a/1-2.png where that is another's.
    """

    def __init__(self, folder: Path, inputs: Collection[Path] = ()):
        """Takes the folder, and files that must not be overwritten."""
        self._folder = folder
        self._taken = {path.resolve() for path in inputs}

    def path(self, place: PurePath, suffix: str) -> Path:
        """Returns the path for an image of this relative path, with another suffix."""
        # A path of an archive may lead out of it.
        parts = [part for part in place.parts if part not in ("..", "/", place.anchor)]
        folder = self._folder.joinpath(*parts[:-1])
        stem, number = PurePath(parts[-1] if parts else "image").stem, 2
        path = folder / f"{stem}{suffix}"
        while path.resolve() in self._taken:
            path, number = folder / f"{stem}-{number}{suffix}", number + 1
        self._taken.add(path.resolve())
        return path
