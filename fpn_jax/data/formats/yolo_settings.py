"""The YAML file of a YOLO data set: classes, keypoints and places of images."""

import os
import re
import reprlib
from typing import NamedTuple

import yaml
from etils import epath

from fpn_jax.data.formats.splits import SPLITS
from fpn_jax.data.formats.text_file import read_text, slashed

# What the library lets through for tags that a value does not fit, such as `!!int x`.
_BROKEN = (
    *(yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError),
    *(ArithmeticError, RecursionError),
)


class YoloSettings(NamedTuple):
    """The facts that the file states, checked."""

    root: epath.Path  # that places of images are relative to
    splits: dict[str, list[str]]  # folders of images, or lists of them
    names: dict[int, str]  # of the classes
    points: tuple[int, int]  # of an object, and numbers for each; 0: no keypoints
    flip: tuple[int, ...]  # the point that each is in the mirror


class _Texts(yaml.SafeLoader):
    """Leaves scalars the texts that they are: a class may be called `no` or `007`."""


_Texts.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0].endswith((":null", ":merge"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yolo_settings(path: epath.Path) -> YoloSettings:
    """The settings of a YAML file, as Ultralytics takes them.

    `path` in it is relative to the file, or to the working directory; where there is no
    such folder, it is the file's own.

    Raises:
        ValueError: if the file is no such YAML, or a field is of another form.
    """
    text = read_text(path)
    try:
        settings = yaml.load(text, _Texts)
    except _BROKEN as error:
        raise ValueError(f"{path}: no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: no YOLO data set, which has 'names' and 'train'")
    points = _points(path, settings)
    return YoloSettings(
        root=_root(path, settings.get("path")),
        splits={
            name: _places(path, name, settings[name])
            for name in SPLITS
            if settings.get(name)
        },
        names=_names(path, settings),
        points=points,
        flip=_flip(path, settings.get("flip_idx"), points[0]),
    )


def _names(path: epath.Path, settings: dict) -> dict[int, str]:
    names, count = settings.get("names"), settings.get("nc")
    if count is not None and _whole(count) is None:
        raise ValueError(f"{path}: nc is {_short(count)}, must be a number of classes")
    total = _whole(count) or 0
    if names is None and 0 < total < 10**6:
        return {number: f"class_{number}" for number in range(total)}
    if isinstance(names, list):
        names = dict(enumerate(names))
    elif isinstance(names, dict):
        if wrong := [key for key in names if _whole(key) is None]:
            raise ValueError(
                f"{path}: names has the key {_short(wrong[0])}, must be 0, 1, 2 …"
            )
        names = {_whole(key) or 0: name for key, name in names.items()}
    if not names or not isinstance(names, dict):
        raise ValueError(
            f"{path}: no YOLO data set, names is {_short(settings.get('names'))}, "
            "must be a list of the classes"
        )
    for number, name in names.items():
        if not isinstance(name, str):
            raise ValueError(
                f"{path}: names has {_short(name)} for class {number}, must be text"
            )
    if count is not None and _whole(count) != len(names):
        raise ValueError(f"{path}: nc is {count}, but names has {len(names)} classes")
    return names


def _root(path: epath.Path, given: object) -> epath.Path:
    if given is not None and not isinstance(given, str):
        raise ValueError(f"{path}: path is {_short(given)}, must be a folder")
    if not given:
        return path.parent
    place = epath.Path(_file_name(path, "path", given)).expanduser()
    found = (root for root in (path.parent / place, place) if root.is_dir())
    return next(found, path.parent)


def _places(path: epath.Path, split: str, value: object) -> list[str]:
    places = value if isinstance(value, list) else [value]
    texts = [place for place in places if isinstance(place, str) and place.strip()]
    if len(texts) < len(places):
        raise ValueError(
            f"{path}: {split} is {_short(value)}, must be a folder of images, a text "
            "file that lists them, or a list of these"
        )
    return [_file_name(path, split, place) for place in texts]


def _file_name(path: epath.Path, field: str, text: str) -> str:
    try:
        os.fsencode(text)
    except UnicodeError:  # half of a character, which YAML can write
        text = "\0"
    if min(text) < " ":
        raise ValueError(f"{path}: {field} must be the name of a file or folder")
    return slashed(text)


def _points(path: epath.Path, settings: dict) -> tuple[int, int]:
    """The number of keypoints, and of the numbers of each."""
    shape = settings.get("kpt_shape")
    if shape is None:
        return 0, 0
    numbers = [_whole(side) for side in shape] if isinstance(shape, list) else []
    if len(numbers) != 2 or not numbers[0] or numbers[1] not in (2, 3):
        raise ValueError(
            f"{path}: kpt_shape is {_short(shape)}, must be [points, 2 or 3]"
        )
    return numbers[0], numbers[1]


def _flip(path: epath.Path, flip: object, num_points: int) -> tuple[int, ...]:
    if not num_points:
        return ()
    numbers = [_whole(point) for point in flip] if isinstance(flip, list) else []
    numbers = [number for number in numbers if number is not None]
    if sorted(numbers) != list(range(num_points)):
        raise ValueError(
            f"{path}: flip_idx is {_short(flip)}, must say for each of {num_points} "
            "points which one it is in the mirror"
        )
    for point, other in enumerate(numbers):
        if numbers[other] != point:
            raise ValueError(
                f"{path}: flip_idx is {_short(flip)}, is no mirror: point {point} "
                f"becomes {other}, and {other} becomes {numbers[other]}"
            )
    return tuple(numbers)


def _whole(value: object) -> int | None:
    """The number that a text is, or None."""
    found = isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.0*)?", value.strip())
    return int(float(value.strip())) if found and isinstance(value, str) else None


def _short(value: object) -> str:
    """The value in one line; aliases of YAML may make it endless."""
    shorten = reprlib.Repr()
    shorten.maxlevel, shorten.maxstring = 2, 60
    text = shorten.repr(value)
    # All numbers are texts.
    return text.replace("'", "") if isinstance(value, list) else text
