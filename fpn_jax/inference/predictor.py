"""A detector with its weights, as a function from images to detections."""

import copy
import dataclasses
import itertools
import operator
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Unpack, overload

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.choices import check_choice, check_count
from fpn_jax.data.batch import padded_sides
from fpn_jax.data.canvases import BoxScale
from fpn_jax.data.example import Category
from fpn_jax.data.given_images import ImageLike, as_image, is_one_image
from fpn_jax.data.transforms import (
    fit_scale_either_way,
    fits_turned,
    fitted_size,
    resize,
    resize_as_torch,
    scaled_sides,
)
from fpn_jax.data.web import is_web_address
from fpn_jax.detectors.contract import Limits, with_thresholds
from fpn_jax.detectors.fields import values_of
from fpn_jax.evaluation.image_pixels import in_image_pixels
from fpn_jax.inference.augmentations import FLIP, augmented
from fpn_jax.inference.tiles import Each, Tiles, tiled
from fpn_jax.ops.meshes import traced_on
from fpn_jax.results.result import Result
from fpn_jax.training.categories import Skeleton
from fpn_jax.training.step import data_mesh
from fpn_jax.types import Detections

Canvas = Literal["fixed", "exact"]

_SIDES = 32  # divides those of a fixed canvas; an exact one is padded for each image
_BATCHES = 4  # read at once, so that images of one canvas fill a batch


class Predictor:
    """Finds objects in images of any size.

    An image is scaled to fit the canvas of the run, upright or turned, whichever holds
    it larger; of COCO models that is torchvision's rule of a shorter side of 800 and a
    longer of at most 1333. From pixels to final boxes is one program.

    On a "fixed" canvas an image is resized and padded as in evaluation, so that its
    detections do not depend on the images beside it. Programs are few however many
    shapes there are: two canvases, at `batch_size` and at 1 image. The last batch is
    filled up; images that fill less than half of it go one by one.

    On an "exact" canvas images are resized in float32 as torch does it, and all images
    of a call are padded to common sides, the next multiples of 32. This gives
    torchvision's detections, at the price of a program for every padded shape and
    number of images.

    It can be copied, pickled, and given to other processes; classes of the user's own
    must be importable there.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: dict,
        canvas: tuple[int, int],
        categories: Sequence[Category] = (),
        skeleton: Skeleton = (),
        *,
        padding: Canvas = "fixed",
        batch_size: int = 8,
        box_scale: BoxScale = "sides",
        tiles: Tiles | None = None,
        ways: Sequence[str | float] = (),
        max_detections: int | None = None,
    ):
        """Takes a detector with its variables, and the canvas that it was trained on.

        `box_scale` is how boxes go back to an image (`DataConfig`). With `tiles` an
        image is looked at tile by tile (`tiles.py`), with `ways` in several views
        (`augmentations.py`): "flip", and scales of the canvas. `max_detections` is the
        most that all tiles of an image give; by default each gives what the model
        gives. Raises ValueError for another padding, a batch without images, a fixed
        canvas that is not two multiples of 32, and for variables without parameters.
        """
        check_choice("padding", padding, ("fixed", "exact"))
        check_choice("box_scale", box_scale, ("sides", "common"))
        check_count("batch_size", batch_size)
        _check_canvas(canvas, multiple=_SIDES if padding == "fixed" else 1)
        if not isinstance(variables, Mapping) or "params" not in variables:
            raise ValueError(
                "variables: no 'params' given, must be all variables of the model: "
                "{'params': …, 'batch_stats': …}"
            )
        self.model, self.variables, self.canvas = model, variables, canvas
        self.categories, self.skeleton = tuple(categories), skeleton
        self.padding, self.batch_size = padding, batch_size
        self.box_scale: BoxScale = box_scale
        self.tiles, self.ways = tiles, tuple(ways)
        self.max_detections = max_detections
        self._detect = program_of(model, variables)

    def __repr__(self) -> str:
        number, (height, width) = len(self.categories), self.canvas
        classes = "class" if number == 1 else "classes"
        return f"Predictor({number} {classes}, canvas of {height} x {width})"

    def with_thresholds(self, **limits: Unpack[Limits]) -> "Predictor":
        """Returns the detector with other limits on its detections, and its weights.

        They are `score_threshold`, `nms_threshold` and `max_detections`; None keeps
        one. Raises ValueError for a limit that the model has no way to change.
        """
        other = copy.copy(self)
        other.model = with_thresholds(self.model, **limits)
        other.max_detections = limits.get("max_detections") or self.max_detections
        other._detect = program_of(other.model, other.variables)
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Returns all but the compiled program, with the variables on the host."""
        state = {name: x for name, x in vars(self).items() if name != "_detect"}
        return state | {"variables": jax.device_get(self.variables)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.variables = jax.device_put(self.variables)
        self._detect = program_of(self.model, self.variables)

    @overload
    def __call__(self, images: ImageLike) -> Result: ...

    @overload
    def __call__(self, images: Iterable[ImageLike]) -> list[Result]: ...

    def __call__(
        self, images: ImageLike | Iterable[ImageLike]
    ) -> Result | list[Result]:
        """Returns the `Result` of an image, or a list of them for several images.

        Several are a list, an iterator, which is read a few batches at a time, or an
        array [B, H, W, 3]. An image is

        - a path, a web address or a PIL image, turned upright as its EXIF says;
        - an array of NumPy, JAX or torch: RGB, gray or with transparency, integers,
          or floats in 0 … 255 or 0 … 1 (`data/given_images.py`).

        Raises ValueError, one line, for any other value.
        """
        found = self.each(images)
        return next(found) if is_one_image(images) else list(found)

    def each(self, images: ImageLike | Iterable[ImageLike]) -> Iterator[Result]:
        """Yields the result of each image, in their order.

        On a fixed canvas images are read a few batches at a time, on an exact one all
        at once. Masks are pasted one image after the other, because they are large. An
        image that cannot be read ends it, after the results of those before it.
        """
        several: Any = [images] if is_one_image(images) else images
        waiting: deque[ImageLike] = deque()

        def noted() -> Iterator[ImageLike]:
            for given in several:
                waiting.append(given)
                yield given

        for result in self._way()(noted()):
            given = waiting.popleft()
            result = dataclasses.replace(result, path=_name(given))
            # A file is read again when its pixels are needed, a download is not.
            yield (
                dataclasses.replace(result, given=given) if _is_file(given) else result
            )

    def _way(self) -> Each:
        """Returns how an image is looked at: as a whole, several times, in tiles."""
        each: Each = self._each
        if self.ways:
            scaled = [self._scaled(float(way)) for way in self.ways if way != FLIP]
            limits = values_of(self.model, "max_detections").values()
            most = max(limits, default=None)
            each = augmented(each, scaled, flip=FLIP in self.ways, max_detections=most)
        if self.tiles is None:
            return each
        return tiled(each, self.tiles, max_detections=self.max_detections)

    def _scaled(self, factor: float) -> Each:
        """Returns the detector on a canvas of other sides; it shares the programs."""
        other = copy.copy(self)
        height, width = (max(1, round(side * factor)) for side in self.canvas)
        other.canvas = height, width
        return other._each

    def _each(self, images: Iterable[ImageLike]) -> Iterator[Result]:
        given = iter(images)
        at_once: int | None = _BATCHES * self.batch_size
        if self.padding == "exact":  # views of an image are no batch of the user's
            at_once = self.batch_size if self.tiles or self.ways else None
        error = None
        while error is None:
            some, error = _until_error(map(as_image, itertools.islice(given, at_once)))
            if some:
                yield from self._each_of(some)
            elif error is None:
                return
        raise error

    def _each_of(self, images: Sequence[np.ndarray]) -> Iterator[Result]:
        found: dict[int, _Found] = {}
        for group in self._groups(images):
            found |= self._found(group, images)
        for number, image in enumerate(images):
            detections, fitted = found.pop(number)
            size = image.shape[:2]
            detections = in_image_pixels(detections, size=fitted, image_size=size)
            yield Result(detections, size, self.categories, self.skeleton, given=image)

    def _groups(self, images: Sequence[np.ndarray]) -> list["_Group"]:
        """The batches that the images make."""
        if self.padding == "exact":
            scales = [fit_scale_either_way(x.shape, self.canvas) for x in images]
            sizes = [
                scaled_sides(x.shape, s) for x, s in zip(images, scales, strict=True)
            ]
            return [_Group(range(len(images)), np.max(sizes, axis=0), len(images))]
        alike: dict[tuple, list[int]] = {}
        for number, image in enumerate(images):
            turned = bool(fits_turned(image.shape[:2], self.canvas))
            alike.setdefault((turned, image.dtype), []).append(number)
        groups = []
        for (turned, _), numbers in alike.items():
            canvas = self.canvas[::-1] if turned else self.canvas
            for start in range(0, len(numbers), self.batch_size):
                batch = numbers[start : start + self.batch_size]
                if len(batch) == 1 or 2 * len(batch) < self.batch_size:
                    groups += [_Group([number], canvas, 1) for number in batch]
                else:
                    groups.append(_Group(batch, canvas, self.batch_size))
        return groups

    def _found(
        self, group: "_Group", images: Sequence[np.ndarray]
    ) -> dict[int, "_Found"]:
        """Runs the network on a batch."""
        resized = [self._resized(images[number]) for number in group.numbers]
        canvas = np.zeros(
            (group.batch_size, *padded_sides(group.canvas), 3), resized[0].dtype
        )
        sizes = np.zeros((group.batch_size, 2), np.int32)  # 0, 0: not an image
        for row, image in enumerate(resized):
            sizes[row] = image.shape[:2]
            canvas[row, : image.shape[0], : image.shape[1]] = image
        detections = jax.device_get(self._detect(self.variables, canvas, sizes))
        return {
            number: _Found(
                jax.tree.map(operator.itemgetter(row), detections),
                fitted_size(images[number].shape, self.canvas, self.box_scale),
            )
            for row, number in enumerate(group.numbers)
        }

    def _resized(self, image: np.ndarray) -> np.ndarray:
        scale = fit_scale_either_way(image.shape, self.canvas)
        if self.padding == "exact":
            return resize_as_torch(image.astype(np.float32), scale)
        return resize(image, scale)


def _until_error(
    images: Iterator[np.ndarray],
) -> tuple[list[np.ndarray], Exception | None]:
    """Returns the images that come before an error, and the error."""
    read = []
    try:
        for image in images:
            read.append(image)
    except Exception as error:
        return read, error
    return read, None


def _name(image: ImageLike) -> str | None:
    """Returns the path or address of an image that is given by one."""
    return os.fspath(image) if isinstance(image, str | os.PathLike) else None


def _is_file(image: ImageLike) -> bool:
    return (name := _name(image)) is not None and not is_web_address(name)


def _check_canvas(canvas: Any, *, multiple: int) -> None:
    if not isinstance(canvas, tuple | list) or len(canvas) != 2:
        raise ValueError(f"canvas: {canvas!r} given, must be a height and a width")
    for side in canvas:
        check_count("canvas", side)
        if side % multiple:
            raise ValueError(
                f"canvas: {tuple(canvas)} given, must be two multiples of {multiple}"
            )


class _Group(NamedTuple):
    """Images that go through the network together."""

    numbers: Sequence[int]
    canvas: Sequence[int]  # height, width, before they are padded
    batch_size: int  # at least as many


class _Found(NamedTuple):
    """Raw detections of one image."""

    detections: Detections  # in pixels of the canvas, with padding
    size: tuple[float, float]  # height and width on the canvas that boxes go back from


def program_of(model: nn.Module, variables: Mapping) -> Callable[..., Detections]:
    """Returns the jitted program from variables, images and sizes to detections."""

    def detect(variables, images, sizes):
        return model.apply(variables, images, sizes, method="detect")

    # Where the variables are, it will run.
    devices = jnp.asarray(jax.tree.leaves(variables)[0]).devices()
    return jax.jit(traced_on(data_mesh([*devices][:1]), detect))
