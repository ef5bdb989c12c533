"""Images as people give them to a detector: arrays of any library, PIL's, and paths."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from fpn_jax.data.example import UnreadableImage

if TYPE_CHECKING:
    from PIL import Image

# The name in quotes lets use go without PIL.
ImageLike = Union[np.ndarray, "Image.Image", str, os.PathLike]  # noqa: UP007

_WANTED = "an array [height, width, 3], a PIL image or a path"
# No pixel less ImageNet's mean, divided by its deviation, is as large.
_STANDARDIZED = 8.0
# Interpolation may overshoot 255, but not by as much.
_OVERSHOT = 512.0


def is_one_image(images: Any) -> bool:
    """Whether a value is one image, and not several: a list, an iterator, a batch.

    Raises ValueError, one line, for a value that is neither.
    """
    if isinstance(images, str | os.PathLike) or _is_pil(images):
        return True
    if hasattr(images, "__array__"):
        batch = np.ndim(images) == 4
        objects = isinstance(images, np.ndarray) and images.dtype == object
        return not batch and not objects
    if isinstance(images, Iterable) and not isinstance(
        images, Mapping | Set | bytes | bytearray | memoryview
    ):
        return False
    raise ValueError(f"images: {_named(images)} given, must be {_WANTED}, or a list")


def as_images(images: Any) -> Iterator[np.ndarray]:
    """Returns an iterator over the arrays of one image, or of several (`as_image`)."""
    return map(as_image, [images] if is_one_image(images) else images)


def as_image(image: Any) -> np.ndarray:
    """Returns an image as an array [H, W, 3], RGB, uint8 or float32 in 0 … 255.

    Files and PIL images are turned upright, as their EXIF says. Arrays may come from
    NumPy, JAX, torch and others, with the channels last.

    Raises ValueError, one line, for any other value: another shape or type, floats in
    0 … 1, standardized pixels.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if _is_pil(image):
        return _from_pil(image)
    array = _as_array(image)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(
            f"images: shape {array.shape} given, must be [height, width, 3]"
            f"{_advice(array.shape)}"
        )
    if array.dtype not in (np.uint8, np.float32):
        raise ValueError(
            f"images: {array.dtype} given, must be uint8 or float32 in 0 … 255"
        )
    if array.dtype == np.float32:
        _check_range(array)
    return array


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Returns the image in a file as uint8 [H, W, 3], RGB, turned upright.

    Raises UnreadableImage, one line that names the path, where there is no image.
    """
    name = str(path)
    if name.startswith(("http:/", "https:/")):
        raise UnreadableImage(f"{name}: an address, not a file; download it first")
    if Path(path).is_dir():
        raise UnreadableImage(f"{name}: a folder, not an image; give the files in it")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{name}: {error.strerror}") from error
    try:
        from fpn_jax.data.image import decode_image
    except ImportError as error:
        raise ValueError(
            f"{name}: image files need the package {error.name!r}: pip install "
            "'fpn-jax[train]'; arrays do not"
        ) from error
    return decode_image(data, name)


def _is_pil(image: Any) -> bool:
    """Whether it is a PIL image; nothing is where PIL was never imported."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(image, pil.Image)


def _from_pil(image: "Image.Image") -> np.ndarray:
    from PIL import ImageOps

    if image.mode.startswith(("I", "F")):  # PIL would cut 16 and 32 bits off at 255
        raise ValueError(
            f"images: a PIL image of mode {image.mode!r} given, must have 8 bits"
        )
    try:
        array = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # the file is read only now
        raise ValueError(f"images: a PIL image cannot be read: {error}") from error
    return as_image(array)


def _as_array(image: Any) -> np.ndarray:
    if not hasattr(image, "__array__"):
        raise ValueError(f"images: {_named(image)} given, must be {_WANTED}")
    if hasattr(image, "detach"):  # a tensor of torch with a gradient, on a device
        image = image.detach().cpu()
    try:
        return np.asarray(image)
    except Exception as error:  # every library has its own
        reason = str(error).partition("\n")[0]
        raise ValueError(f"images: {_named(image)} is no array: {reason}") from error


def _check_range(image: np.ndarray) -> None:
    """Raises ValueError where the values are not of pixels in 0 … 255."""
    low, high = float(image.min()), float(image.max())
    given = f"images: floats of {low:.3g} … {high:.3g} given, must be 0 … 255"
    if not (-_OVERSHOT < low and high < _OVERSHOT):
        raise ValueError(given)
    if 0 <= low and high <= 1 and not np.array_equal(image, np.round(image)):
        raise ValueError(f"{given}: multiply by 255")
    if low < 0 and high < _STANDARDIZED:
        raise ValueError(f"{given}: neither standardized nor less a mean")


def _advice(shape: tuple[int, ...]) -> str:
    """Says how an image of this shape becomes one, where that is known."""
    if len(shape) == 2:
        return "; of a gray image: np.stack([image] * 3, axis=-1)"
    if len(shape) != 3 or 0 in shape:
        return ""
    if shape[2] == 1:
        return "; of a gray image: np.repeat(image, 3, axis=-1)"
    if shape[2] == 4:
        return "; without transparency: image[..., :3]"
    if shape[0] in (1, 3, 4):
        return "; with channels last: np.moveaxis(image, 0, -1)"
    return ""


def _named(value: Any) -> str:
    """Names a value in a message: "None", "a dict", "an int"."""
    named = f"a {type(value).__name__}"
    vowel = named[2] in "aeiou"
    return "None" if value is None else named.replace("a ", "an ", vowel)
