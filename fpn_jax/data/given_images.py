"""Images as people give them to a detector: arrays, PIL's, paths and addresses."""

import os
import sys
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.web import fetch, is_web_address

if TYPE_CHECKING:
    from PIL import Image

# The name in quotes lets use go without PIL.
ImageLike = Union[np.ndarray, "Image.Image", str, os.PathLike]  # noqa: UP007

_WANTED = "an array [height, width, 3], a PIL image, a path or an address"
# No pixel less ImageNet's mean, divided by its deviation, is as large.
_STANDARDIZED = 8.0
# Interpolation may overshoot 255, but not by as much.
_OVERSHOT = 512.0
_CHANNELS = (1, 3, 4)  # gray, RGB, RGB and transparency


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


def as_image(image: Any) -> np.ndarray:
    """Returns an image as an array [H, W, 3], RGB, uint8 or float32 in 0 … 255.

    Files, web addresses and PIL images are turned upright, as their EXIF says. Arrays
    may come from NumPy, JAX, torch and others: RGB, gray ([H, W] or one channel), or
    with transparency, which is dropped. A tensor of torch may have its channels first.
    Floats are 0 … 255, or 0 … 1 as torchvision has them. Integers above 255 are pixels
    of 16 bits, and become their upper 8, as in files.

    Raises ValueError, one line, for any other value: another shape or type, floats of
    another range.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if _is_pil(image):
        return _from_pil(image)
    return _from_array(_as_array(image))


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Returns the image in a file or at an address, upright, as uint8 [H, W, 3] RGB.

    Raises UnreadableImage, one line that names the path, where there is no image.
    """
    name = str(path)
    if is_web_address(name):
        data = fetch(name)
    elif Path(path).is_dir():
        raise UnreadableImage(f"{name}: a folder, not an image; give the files in it")
    else:
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

    deep = image.mode.startswith(("I", "F"))  # PIL would cut them off at 255
    try:
        upright = ImageOps.exif_transpose(image)
        array = np.asarray(upright if deep else upright.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # the file is read only now
        raise ValueError(f"images: a PIL image cannot be read: {error}") from error
    return _from_array(array)


def _as_array(image: Any) -> np.ndarray:
    """Returns an array of any library, of torch with its channels last."""
    if not hasattr(image, "__array__"):
        raise ValueError(f"images: {_named(image)} given, must be {_WANTED}")
    tensor = hasattr(image, "detach")
    if tensor:  # of torch, with a gradient, on a device
        image = image.detach().cpu()
        image = image.float() if image.is_floating_point() else image
    try:
        array = np.asarray(image)
    except Exception as error:  # every library has its own
        reason = str(error).partition("\n")[0]
        raise ValueError(f"images: {_named(image)} is no array: {reason}") from error
    ends = (array.shape[0], array.shape[-1]) if array.ndim == 3 else (0, 0)
    first = tensor and ends[0] in _CHANNELS and ends[1] not in _CHANNELS
    return np.moveaxis(array, 0, -1) if first else array


def _from_array(array: np.ndarray) -> np.ndarray:
    return _rgb(_in_bytes_range(_checked_shape(array)))


def _checked_shape(array: np.ndarray) -> np.ndarray:
    """Returns it as [H, W, channels]."""
    image = array[..., None] if array.ndim == 2 else array
    if image.ndim != 3 or image.shape[2] not in _CHANNELS or 0 in image.shape:
        channels_first = image.ndim == 3 and image.shape[0] in _CHANNELS
        advice = "; with channels last: np.moveaxis(image, 0, -1)"
        raise ValueError(
            f"images: shape {array.shape} given, must be [height, width, 3]"
            f"{advice if channels_first and 0 not in image.shape else ''}"
        )
    return image


def _rgb(image: np.ndarray) -> np.ndarray:
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image if image.shape[2] == 3 else image[..., :3]


def _in_bytes_range(image: np.ndarray) -> np.ndarray:
    """Returns pixels as uint8, or as float32 in 0 … 255."""
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind in "ui":
        return _from_integers(image)
    if image.dtype.kind == "f" or image.dtype.name == "bfloat16":
        return _from_floats(image.astype(np.float32, copy=False))
    raise ValueError(
        f"images: {image.dtype} given, must be uint8 or float32 in 0 … 255"
    )


def _from_integers(image: np.ndarray) -> np.ndarray:
    low, high = int(image.min()), int(image.max())
    if low < 0 or high > 65535:
        raise ValueError(
            f"images: {image.dtype} of {low} … {high} given, must be 0 … 255, or "
            "0 … 65535 for pixels of 16 bits"
        )
    return (image if high <= 255 else image >> 8).astype(np.uint8)


def _from_floats(image: np.ndarray) -> np.ndarray:
    """Returns floats in 0 … 255; raises ValueError where they are of another scale."""
    low, high = float(image.min()), float(image.max())
    given = f"images: floats of {low:.3g} … {high:.3g} given, must be 0 … 255 or 0 … 1"
    if not (-_OVERSHOT < low and high < _OVERSHOT):
        raise ValueError(given)
    # A dark image in 0 … 255 may have single whole values.
    if 0 <= low and high <= 1 and not np.array_equal(image, np.round(image)):
        return image * np.float32(255)
    if low < 0 and high < _STANDARDIZED:
        raise ValueError(f"{given}, neither standardized nor less a mean")
    if 1 < high < _STANDARDIZED and not np.array_equal(image, np.round(image)):
        raise ValueError(f"{given}: clip them to one of the two")
    return image


def _named(value: Any) -> str:
    """Names a value in a message: "None", "a dict", "an int"."""
    named = f"a {type(value).__name__}"
    vowel = named[2] in "aeiou"
    return "None" if value is None else named.replace("a ", "an ", vowel)
