"""Whether a user's modules keep the contract of this room, by shapes alone.

Everything is traced and nothing computed. A broken rule is one line that names the part
of the model; an error that the user's own code raises passes as it is.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import DenyList
from flax.errors import InvalidRngError
from flax.traverse_util import flatten_dict

from fpn_jax.choices import check_choice
from fpn_jax.detectors.check_numbers import check_numbers
from fpn_jax.detectors.check_parts import check_parts, is_ours
from fpn_jax.detectors.contract import Measured, facts
from fpn_jax.detectors.fields import has, parts, values_of
from fpn_jax.types import Detections, LossTerm, Pyramid, Targets

_BODY = ("backbone", "neck")  # all other parts are heads
_BATCH, _OBJECTS, _MASK_SIZE, _KEYPOINTS = 2, 3, 28, 17


def check_model(model: nn.Module, canvas: tuple[int, int]) -> None:
    """Raises ValueError where a detector, or a part of one, breaks the contract."""
    check_numbers(model)
    compositions = list(_compositions(model, "model"))
    for path, composition in compositions:
        check_parts(composition, path)
    for measure in facts(model).measures:
        check_choice("model.measures", measure, get_args(Measured))
    for path, composition in compositions:
        _check_composition(composition, path, canvas)
    if not is_ours(model):
        _check_methods(model, canvas)


def _compositions(model: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Yields a model, and the models inside, that have a backbone and a neck."""
    submodules = parts(model)
    if {"backbone", "neck"} <= submodules.keys():
        yield path, model
    for name, part in submodules.items():
        yield from _compositions(part, f"{path}.{name}")


def _check_composition(model: nn.Module, path: str, canvas: tuple[int, int]) -> None:
    pixels = jax.ShapeDtypeStruct((_BATCH, *canvas, 3), jnp.float32)
    features = _outputs(model.backbone, f"{path}.backbone", pixels)
    if not is_ours(model.backbone):
        _check_pyramid(features, f"{path}.backbone", canvas)
    below, features = features, _outputs(model.neck, f"{path}.neck", features)
    if not is_ours(model.neck):
        _check_pyramid(features, f"{path}.neck", canvas, like=below)
    heads = [head for name, head in parts(model).items() if name not in _BODY]
    channels = {level: x.shape[-1] for level, x in features.items()}
    if len(set(channels.values())) > 1 and not all(
        has(head, "takes_any_channels") and head.takes_any_channels for head in heads
    ):
        raise ValueError(
            f"{path}.neck: all levels must have the same number of channels, "
            f"got {channels}"
        )
    for name, head in parts(model).items():
        if name not in _BODY:
            _check_levels(head, f"{path}.{name}", features)
            if is_ours(head) and has(head, "places"):  # sees the whole pyramid
                _outputs(head, f"{path}.{name}", features)


def _outputs(module: nn.Module, path: str, inputs: Any) -> Any:
    """Returns the shapes that a module gives; an error of ours names the module."""
    call = partial(module.init_with_output, train=False)
    try:
        return jax.eval_shape(call, _key(), inputs)[0]
    except ValueError as error:
        if not is_ours(module):
            raise
        raise ValueError(f"{path}: {error}") from None


def _check_pyramid(
    pyramid: Any, path: str, canvas: tuple[int, int], *, like: Pyramid | None = None
) -> None:
    """Raises ValueError where a pyramid is none, or a level has another stride.

    A level that is in `like`, too, must have its height and width.
    """
    if not isinstance(pyramid, dict) or not pyramid:
        raise ValueError(
            f"{path}: must return a dict {{level: features}}, got {_described(pyramid)}"
        )
    for level, features in pyramid.items():
        if not isinstance(level, int) or level < 0:
            raise ValueError(
                f"{path}: levels must be integers, as level l has the stride 2**l, got "
                f"{level!r}"
            )
        shape = getattr(features, "shape", ())
        if len(shape) != 4 or shape[0] != _BATCH:
            raise ValueError(
                f"{path}: level {level} must be an array [B, H / {2**level}, "
                f"W / {2**level}, C], got {_described(features)} for B = {_BATCH}"
            )
        if like is not None and level in like:
            if shape[1:3] != (grid := like[level].shape[1:3]):
                raise ValueError(
                    f"{path}: level {level} must have the {_by(grid)} cells of the "
                    f"backbone's, got {_by(shape[1:3])}"
                )
            continue
        sides = zip(shape[1:3], canvas, strict=True)
        if any(abs(side - whole / 2**level) >= 1 for side, whole in sides):
            raise ValueError(
                f"{path}: level {level} must have the stride {2**level}, "
                f"{_rounded(canvas, level)} for a canvas of {_by(canvas)}, got "
                f"{_by(shape[1:3])}{_level_of(shape[1:3], canvas)}"
            )


def _check_levels(head: nn.Module, path: str, pyramid: Pyramid) -> None:
    """Raises ValueError where a head cuts features out of levels that are not there."""
    pool = getattr(head, "pool", None)
    name, holder = ("levels", head) if pool is None else ("pool.levels", pool)
    levels = getattr(holder, "levels", None)
    if levels is not None and (missing := set(levels) - pyramid.keys()):
        raise ValueError(
            f"{path}.{name} are {tuple(levels)}, the neck gives {sorted(pyramid)}: no "
            f"level {min(missing)}"
        )


def _check_methods(model: nn.Module, canvas: tuple[int, int]) -> None:
    """Traces a training step's loss, an evaluation's, and the detections."""
    images = jax.ShapeDtypeStruct((_BATCH, *canvas, 3), jnp.uint8)
    sizes = jax.ShapeDtypeStruct((_BATCH, 2), jnp.int32)
    variables = jax.eval_shape(model.init, _key(), images, sizes)
    _check_frozen(model, variables)
    keys = jax.eval_shape(partial(jax.random.split, num=_BATCH), _key())
    loss = partial(model.apply, method="loss")
    examples = (variables, images, sizes, _targets(model, canvas))
    terms, updated = jax.eval_shape(
        lambda key, keys, *examples: loss(
            *examples,
            keys=keys,
            train=True,
            rngs={"params": key},
            mutable=DenyList("params"),
        ),
        _key(),
        keys,
        *examples,
    )
    _check_terms(terms)
    for name, before in variables.items():
        after = updated.get(name, before)
        if jax.tree.map(_shape, before) != jax.tree.map(_shape, after):
            raise ValueError(
                f"model: a step changes the shapes of its variables {name!r}; what is "
                "sown belongs into 'intermediates', which a run does not keep"
            )
    with _without_random_numbers("loss"):
        terms = jax.eval_shape(lambda keys, *x: loss(*x, keys=keys), keys, *examples)
    _check_terms(terms)
    detect = partial(model.apply, method="detect")
    with _without_random_numbers("detect"):
        found = jax.eval_shape(detect, variables, images, sizes)
    _check_detections(found, model)


@contextmanager
def _without_random_numbers(method: str) -> Iterator[None]:
    """Turns flax's error for a stream that only training has into one line."""
    try:
        yield
    except InvalidRngError as error:
        said = str(error).partition(" (http")[0]
        raise ValueError(
            f"model.{method}: a module draws random numbers although train is False: "
            f"{said}"
        ) from None


def _check_frozen(model: nn.Module, variables: Mapping[str, Any]) -> None:
    """Raises ValueError where `frozen` names a part that has no variables.

    Ours may: a stage above the last level that is asked for.
    """
    paths = {path for tree in variables.values() for path in flatten_dict(tree)}
    for name in facts(model).frozen:
        first, *_ = names = tuple(name.split("/"))
        if first in (submodules := parts(model)) and is_ours(submodules[first]):
            continue
        for depth in range(len(names)):
            above = names[:depth]
            below = {p[: depth + 1] for p in paths if p[:depth] == above}
            allowed = sorted("/".join(p) for p in below if len(p) > depth)
            check_choice("model.frozen", "/".join(names[: depth + 1]), allowed)


def _targets(model: nn.Module, canvas: tuple[int, int]) -> Targets:
    def rows(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((_BATCH, _OBJECTS, *shape), dtype)

    measures, further = facts(model).measures, {}
    if "masks" in measures:
        masks = rows(_MASK_SIZE, _MASK_SIZE, dtype=jnp.uint8)
        further |= {"masks": masks, "mask_regions": rows(4)}
    if "keypoints" in measures:
        counts = [*values_of(model, "num_keypoints").values(), _KEYPOINTS]
        further |= {"keypoints": rows(counts[0], 3)}
    return Targets(
        boxes=rows(4),
        labels=rows(dtype=jnp.int32),
        valid=rows(dtype=bool),
        crowd=rows(dtype=bool),
        **further,
    )


def _check_terms(terms: Any) -> None:
    if not isinstance(terms, dict) or not terms:
        raise ValueError(
            f"model.loss must return a dict {{name: LossTerm}}, got {_described(terms)}"
        )
    for name, term in terms.items():
        scalar = isinstance(term, LossTerm) and _shape(term.total) == ()
        if not scalar or _shape(term.count) != ():
            raise ValueError(
                f"model.loss: {name!r} must be a LossTerm of two numbers, a sum and "
                f"what it is divided by, got {_described(term)}"
            )


def _check_detections(found: Any, model: nn.Module) -> None:
    if not isinstance(found, Detections):
        raise ValueError(
            f"model.detect must return Detections, got {_described(found)}"
        )
    shape = _shape(found.boxes)
    if len(shape) != 3 or shape[0] != _BATCH or shape[2] != 4:
        raise ValueError(
            f"model.detect: boxes must be [B, D, 4], got {list(shape)} for B = {_BATCH}"
        )
    for name in ("scores", "labels", "valid"):
        if (given := _shape(getattr(found, name))) != shape[:2]:
            raise ValueError(
                f"model.detect: {name} must be [B, D] = {list(shape[:2])}, as the "
                f"boxes, got {list(given)}"
            )
    for name in ("masks", "keypoints"):
        if name in facts(model).measures and getattr(found, name) is None:
            raise ValueError(
                f"model.measures has {name!r}, but model.detect gives no {name}"
            )


def _key() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(jax.random.key, 0)  # a key itself would be computed


def _shape(leaf: Any) -> tuple[int, ...]:
    return tuple(getattr(leaf, "shape", ()))


def _described(value: Any) -> str:
    """Describes a value for an error message: "an array [2, 8, 8, 3]", "a list"."""
    if isinstance(value, jax.ShapeDtypeStruct):
        return f"an array {list(value.shape)}"
    if isinstance(value, LossTerm):
        return f"a LossTerm of {_shape(value.total)} and {_shape(value.count)}"
    return f"a {type(value).__name__}" + (" without an item" if not value else "")


def _by(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides))


def _rounded(canvas: tuple[int, int], level: int) -> str:
    return _by(tuple(math.ceil(side / 2**level) for side in canvas))


def _level_of(sides: tuple[int, ...], canvas: tuple[int, int]) -> str:
    """Returns in words which level would have these sides, if any."""
    for level in range(12):
        if sides == tuple(math.ceil(side / 2**level) for side in canvas):
            return f", the stride {2**level} of level {level}"
    return ""
