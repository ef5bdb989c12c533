"""Whether fields of a model hold numbers in their ranges and words of their choices.

One table for all modules of this package: a field of one name has one range, whichever
module it is in, and every field has the type of its annotation. Nothing is traced, and
a user's own modules are only looked into.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import flax.linen as nn
import jax

from fpn_jax.choices import check_choice
from fpn_jax.detectors.field_types import fits_type, type_in_words


class Range(NamedTuple):
    """A limit for a number: a test, and the same in words."""

    words: str
    fits: Callable[[Any], bool]
    whole: bool = False  # an integer


_COUNT = Range("1 or more", lambda x: x >= 1, whole=True)
_ANY_COUNT = Range("0 or more", lambda x: x >= 0, whole=True)
_POSITIVE = Range("above 0", lambda x: x > 0)
_NOT_NEGATIVE = Range("0 or more", lambda x: x >= 0)
_SHARE = Range("0 … 1", lambda x: 0 <= x <= 1)
_INSIDE = Range("between 0 and 1", lambda x: 0 < x < 1)
_FINITE = Range("a finite number", lambda x: True)

# By the name of a field; of a tuple, each of its numbers.
RANGES: Mapping[str, Range] = {
    **dict.fromkeys(("channels", "repeats", "hidden_features", "num_classes"), _COUNT),
    **dict.fromkeys(("num_keypoints", "num_samples", "num_candidates"), _COUNT),
    **dict.fromkeys(("max_detections", "pre_nms", "post_nms"), _COUNT),
    **dict.fromkeys(("training_pre_nms", "training_post_nms"), _COUNT),
    **dict.fromkeys(("size", "features", "kernel_size"), _COUNT),
    **dict.fromkeys(("num_convs", "num_hidden", "num_extra", "levels"), _ANY_COUNT),
    **dict.fromkeys(("groups", "width_per_group"), _COUNT),
    **dict.fromkeys(("frozen_stages", "sampling_ratio"), _ANY_COUNT),
    **dict.fromkeys(("anchor_sizes", "anchor_ratios", "anchor_shapes"), _POSITIVE),
    **dict.fromkeys(("canonical_size", "center_radius", "box_weights"), _POSITIVE),
    **dict.fromkeys(("depth", "width", "distance_range", "image_std"), _POSITIVE),
    **dict.fromkeys(("image_mean", "padding_value"), _FINITE),
    **dict.fromkeys(("norm_epsilon", "min_side", "smooth_l1_beta"), _NOT_NEGATIVE),
    **dict.fromkeys(
        ("focal_gamma", "box_loss_weight", "iou_cost_weight"), _NOT_NEGATIVE
    ),
    **dict.fromkeys(("positive_iou", "negative_iou", "ignored_iou"), _SHARE),
    **dict.fromkeys(("nms_threshold", "score_threshold", "norm_momentum"), _SHARE),
    **dict.fromkeys(("positive_fraction", "focal_alpha"), _SHARE),
    "prior": _INSIDE,
}
_PACKAGE = __name__.partition(".")[0]


def check_numbers(model: nn.Module, path: str = "model") -> None:
    """Raises ValueError for the first field of a model that is out of its range.

    `path` is what the model is called. The line names the field, what came, and what is
    allowed.
    """
    for place, part in _parts(model, path):
        choices, hints = _choices(type(part)), _hints(type(part))
        for field in dataclasses.fields(part):
            name, value = field.name, getattr(part, field.name, None)
            if isinstance(value, str) and name in choices:
                check_choice(f"{place}.{name}", value, choices[name])
            elif name in RANGES and value is not None:
                # `width` counts channels in one module, and is a factor in another.
                whole = RANGES[name].whole or type(field.default) is int
                _check(f"{place}.{name}", value, RANGES[name], whole=whole)
            if name in hints and not fits_type(value, hints[name]):
                words = type_in_words(hints[name])
                raise ValueError(f"{place}.{name} must be {words}, got {value!r}")
        _check_pairs(part, place)


@functools.cache
def _hints(cls: type) -> Mapping[str, Any]:
    """Returns the annotations of a class, but for what flax adds to its modules."""
    hints = get_type_hints(cls)
    return {
        name: hint for name, hint in hints.items() if name not in ("parent", "name")
    }


@functools.cache
def _choices(cls: type) -> Mapping[str, tuple[str, ...]]:
    """Returns the words that fields of a class may hold, by its annotations."""
    found = {}
    for name, hint in _hints(cls).items():
        hints_of = (hint, *get_args(hint))  # of a literal, or of one or None
        literals = [h for h in hints_of if get_origin(h) is Literal]
        if literals:
            found[name] = tuple(word for h in literals for word in get_args(h))
    return found


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yields the dataclasses of this package in a value, by their dotted paths."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return
    if type(value).__module__.partition(".")[0] == _PACKAGE:
        yield path, value
    for field in dataclasses.fields(value):
        if field.name == "parent":
            continue
        held = getattr(value, field.name, None)
        flat = jax.tree.flatten_with_path(held, is_leaf=dataclasses.is_dataclass)[0]
        for below, leaf in flat:
            keys = [jax.tree_util.keystr((key,), simple=True) for key in below]
            yield from _parts(leaf, ".".join([path, field.name, *keys]))


def _check(path: str, value: Any, allowed: Range, *, whole: bool) -> None:
    if isinstance(value, tuple | list):
        if not value:
            raise ValueError(f"{path} must hold at least one number, got {value!r}")
        for item in value:
            _check(path, item, allowed, whole=whole)
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (whole and value != math.floor(_finite(value))):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{path} must be {kind}, {allowed.words}, got {value!r}")
    if not (math.isfinite(value) and allowed.fits(value)):
        raise ValueError(f"{path} must be {allowed.words}, got {value!r}")


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.5


def _check_pairs(part: Any, path: str) -> None:
    """Raises ValueError where two fields of a module are in the wrong order."""
    low, high = (getattr(part, f"{name}_iou", 0) for name in ("negative", "positive"))
    if low > high:
        raise ValueError(
            f"{path}.negative_iou must be at most {path}.positive_iou, which is "
            f"{high}, got {low}"
        )
    near, far = getattr(part, "distance_range", (0, 1))
    if near >= far:
        raise ValueError(f"{path}.distance_range must rise, got {(near, far)}")
    levels = getattr(part, "levels", None)
    if levels is not None and list(levels) != sorted(set(levels)):
        raise ValueError(
            f"{path}.levels must rise, each of them once, got {tuple(levels)}"
        )
