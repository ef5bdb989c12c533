"""Names for what is written of many images: unlike each other, and of no input."""

from collections import Counter
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
        self._numbers: Counter[Path] = Counter()  # the last ones, by path

    def path(self, place: PurePath, suffix: str) -> Path:
        """Returns the path for an image of this relative path, with another suffix."""
        # A path of an archive may lead out of it.
        parts = [part for part in place.parts if part not in ("..", "/", place.anchor)]
        folder = self._folder.joinpath(*parts[:-1])
        stem = PurePath(parts[-1] if parts else "image").stem
        first = folder / f"{stem}{suffix}"
        while True:
            self._numbers[first] += 1
            number = self._numbers[first]
            path = first if number == 1 else folder / f"{stem}-{number}{suffix}"
            if (resolved := path.resolve()) not in self._taken:
                self._taken.add(resolved)
                return path
