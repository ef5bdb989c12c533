"""A trained run, or a converted checkpoint, as a function from images to detections."""

import itertools
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.choices import check_choice, check_count, check_fraction
from fpn_jax.data.batch import padded_sides
from fpn_jax.data.canvases import BoxScale
from fpn_jax.data.example import Category
from fpn_jax.data.given_images import ImageLike, as_images, is_one_image
from fpn_jax.data.transforms import (
    fit_scale_either_way,
    fits_turned,
    fitted_size,
    resize,
    resize_as_torch,
    scaled_sides,
)
from fpn_jax.detectors.contract import facts, with_dtype, with_thresholds
from fpn_jax.evaluation.image_pixels import in_image_pixels
from fpn_jax.layers import Dtype
from fpn_jax.ops.meshes import traced_on
from fpn_jax.training.categories import Skeleton
from fpn_jax.training.published import run_directory
from fpn_jax.training.run import check_detects, load_run
from fpn_jax.training.step import data_mesh
from fpn_jax.types import Detections

Canvas = Literal["fixed", "exact"]

_DTYPES = ("float32", "bfloat16", "float16")
_BATCHES = 4  # read at once, so that images of one canvas fill a batch


def load(
    run: str | Path,
    checkpoint: str | int = "best",
    *,
    dtype: Dtype = None,
    score_threshold: float | None = None,
    nms_threshold: float | None = None,
    max_detections: int | None = None,
    canvas: Canvas = "fixed",
    batch_size: int = 8,
    experiment: str | Path | None = None,
    trust: bool = False,
) -> "Predictor":
    """Returns the detector of a run directory, ready to be called with images.

    Args:
        run: directory written by training or by `python -m fpn_jax.convert`, or the
            name of a published model (`fpn-jax models`), whose weights are downloaded
            once.
        checkpoint: "best" by the metric of the run, "latest", or the number of a step.
        dtype: of the network's computation, "bfloat16" for speed on TPU and GPU; boxes,
            scores and suppression stay float32.
        score_threshold: lowest score of a detection. This and the next two are by
            default the model's own.
        nms_threshold: IoU above which the lower of two boxes of a class is dropped.
        max_detections: of an image.
        canvas: "fixed" or torchvision's "exact"; see `Predictor`.
        batch_size: images that the network sees at once on a fixed canvas.
        experiment: file that defines the classes of the run that are not of fpn_jax;
            nothing is imported unasked.
        trust: take them from the copy that the run keeps.

    Raises ValueError for an argument that means nothing, before the run is read.
    """
    check_choice("canvas", canvas, ("fixed", "exact"))
    check_count("batch_size", batch_size)
    for name, value in (
        ("score_threshold", score_threshold),
        ("nms_threshold", nms_threshold),
    ):
        if value is not None:
            check_fraction(name, value)
    if max_detections is not None:
        check_count("max_detections", max_detections)
    dtype_name = None if dtype is None else _dtype_name(dtype)
    _check_places(run, experiment, trust)
    step = _checkpoint_name(checkpoint)
    place = run_directory(run)
    loaded = load_run(place, step, experiment=experiment, trust=trust)
    model = loaded.config.model
    check_detects(model, run)
    _check_named(model, loaded.categories, run)
    if dtype_name is not None:
        model = with_dtype(model, dtype_name)
    model = with_thresholds(
        model,
        score_threshold=score_threshold,
        nms_threshold=nms_threshold,
        max_detections=max_detections,
    )
    return Predictor(
        model,
        loaded.variables,
        loaded.config.data.canvas,
        loaded.categories,
        loaded.skeleton,
        padding=canvas,
        batch_size=batch_size,
        box_scale=loaded.config.data.box_scale,
    )


def _dtype_name(dtype: Any) -> str:
    """Returns the name of a type given by name or as JAX's or NumPy's."""
    try:
        name = jnp.dtype(dtype).name
    except TypeError:
        name = dtype
    check_choice("dtype", name, _DTYPES)
    return name


def _check_places(run: Any, experiment: Any, trust: Any) -> None:
    if not isinstance(run, str | os.PathLike):
        raise ValueError(f"run: {run!r} given, must be the directory of a run")
    if experiment is not None:
        path = isinstance(experiment, str | os.PathLike)
        if not path or not Path(experiment).is_file():
            raise ValueError(f"experiment: no file {str(experiment)!r}")
    if not isinstance(trust, bool):
        raise ValueError(f"trust: {trust!r} given, must be True or False")


def _check_named(
    model: nn.Module, categories: Sequence[Category], run: str | os.PathLike
) -> None:
    """Raises ValueError where some labels of the model have a name, and others none."""
    needed = facts(model).num_classes or 1
    if 0 < len(categories) < needed:
        raise ValueError(
            f"{Path(run) / 'categories.json'}: {len(categories)} classes, the model "
            f"has {needed}"
        )


def _checkpoint_name(checkpoint: Any) -> str:
    if isinstance(checkpoint, Integral) and not isinstance(checkpoint, bool):
        return str(checkpoint)
    if not isinstance(checkpoint, str):
        raise ValueError(
            f"checkpoint: {checkpoint!r} given, must be 'best', 'latest' or a step"
        )
    return checkpoint


class Predictor:
    """Detections of images of any size, in their own pixels.

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
    ):
        """Takes a detector with its variables, and the canvas that it was trained on.

        `box_scale` is how boxes go back to an image (`DataConfig`). Raises ValueError
        for another padding, a batch without images, a canvas that is not two sides,
        and for variables without parameters.
        """
        check_choice("padding", padding, ("fixed", "exact"))
        check_choice("box_scale", box_scale, ("sides", "common"))
        check_count("batch_size", batch_size)
        _check_canvas(canvas)
        if not isinstance(variables, Mapping) or "params" not in variables:
            raise ValueError(
                "variables: no 'params' given, must be all variables of the model: "
                "{'params': …, 'batch_stats': …}"
            )
        self.model, self.variables, self.canvas = model, variables, canvas
        self.categories, self.skeleton = tuple(categories), skeleton
        self.padding, self.batch_size = padding, batch_size
        self.box_scale: BoxScale = box_scale
        self._detect = _program(model, variables)

    def __getstate__(self) -> dict[str, Any]:
        """Returns all but the compiled program, with the variables on the host."""
        state = {name: x for name, x in vars(self).items() if name != "_detect"}
        return state | {"variables": jax.device_get(self.variables)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.variables = jax.device_put(self.variables)
        self._detect = _program(self.model, self.variables)

    @overload
    def __call__(self, images: ImageLike) -> Detections: ...

    @overload
    def __call__(self, images: Iterable[ImageLike]) -> list[Detections]: ...

    def __call__(
        self, images: ImageLike | Iterable[ImageLike]
    ) -> Detections | list[Detections]:
        """Returns the detections of an image, or a list for several images.

        Several are a list, an iterator, which is read a few batches at a time, or an
        array [B, H, W, 3]. An image is

        - an array [H, W, 3] of NumPy, JAX or torch: RGB, uint8 or float32 in 0 … 255;
        - a PIL image or a path, turned upright as its EXIF says.

        Boxes are in the pixels of that image. The arrays of an image's detections are
        NumPy's, without padding or batch axis; its masks are bool [D, H, W].

        Raises ValueError, one line, for any other value.
        """
        found = self.each(images)
        return next(found) if is_one_image(images) else list(found)

    def each(self, images: ImageLike | Iterable[ImageLike]) -> Iterator[Detections]:
        """Yields the detections of each image, in their order.

        On a fixed canvas images are read a few batches at a time, on an exact one all
        at once. Masks are pasted one image after the other, because they are large.
        """
        read = as_images(images)
        at_once = None if self.padding == "exact" else _BATCHES * self.batch_size
        while some := [*itertools.islice(read, at_once)]:
            yield from self._each_of(some)

    def _each_of(self, images: Sequence[np.ndarray]) -> Iterator[Detections]:
        found: dict[int, _Found] = {}
        for group in self._groups(images):
            found |= self._found(group, images)
        for number, image in enumerate(images):
            detections, size = found.pop(number)
            yield in_image_pixels(detections, size=size, image_size=image.shape[:2])

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


def _check_canvas(canvas: Any) -> None:
    if not isinstance(canvas, tuple | list) or len(canvas) != 2:
        raise ValueError(f"canvas: {canvas!r} given, must be a height and a width")
    for side in canvas:
        check_count("canvas", side)


class _Group(NamedTuple):
    """Images that go through the network together."""

    numbers: Sequence[int]
    canvas: Sequence[int]  # height, width, before they are padded
    batch_size: int  # at least as many


class _Found(NamedTuple):
    """Raw detections of one image."""

    detections: Detections  # in pixels of the canvas, with padding
    size: tuple[float, float]  # height and width on the canvas that boxes go back from


def _program(model: nn.Module, variables: Mapping) -> Callable[..., Detections]:
    """Returns the compiled program from a batch to its detections."""

    def detect(variables, images, sizes):
        return model.apply(variables, images, sizes, method="detect")

    # Where the variables are, it will run.
    devices = jnp.asarray(jax.tree.leaves(variables)[0]).devices()
    return jax.jit(traced_on(data_mesh([*devices][:1]), detect))
