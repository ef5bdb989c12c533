"""The classes of a run: `categories.json`, rows in the form of a COCO file."""

import json
from collections.abc import Sequence
from pathlib import Path

import flax.linen as nn
import jax

from fpn_jax.data.example import Category
from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.fields import values_of
from fpn_jax.training.whole_files import replace_text

Skeleton = tuple[tuple[int, int], ...]

_OBJECT = Category(1, "object")  # what a proposal is


def run_categories(
    model: nn.Module, categories: Sequence[Category]
) -> tuple[Category, ...]:
    """Returns the category of each label that a detector gives, trained on these.

    Raises ValueError where a head has another number of classes.
    """
    num_classes, needed = facts(model).num_classes, len(categories)
    if num_classes is None:
        return (_OBJECT,)
    for name, given in values_of(model, "num_classes").items():
        if given != needed:
            option = f"model.{name}"
            raise ValueError(
                f"{option} is {given}, the data has {needed} categories; give "
                f"--{option.replace('_', '-')} {needed}"
            )
    if num_classes != needed:  # of a model of the user's, not by a field
        raise ValueError(
            f"model.num_classes is {num_classes}, the data has {needed} categories"
        )
    return tuple(categories)


def write_categories(
    categories: Sequence[Category], skeleton: Skeleton, run: str | Path
) -> None:
    """Writes the categories into a run directory, on the first process.

    `skeleton` has the pairs of keypoints to draw a line between, counted from 0; in the
    file they count from 1, as in COCO's.
    """
    if jax.process_index() == 0:
        pairs = [[first + 1, last + 1] for first, last in skeleton]
        further = {"skeleton": pairs} if pairs else {}
        rows = [category._asdict() | further for category in categories]
        replace_text(Path(run) / "categories.json", json.dumps(rows, indent=1) + "\n")


def load_categories(run: str | Path) -> tuple[tuple[Category, ...], Skeleton]:
    """Returns the categories of a run directory, by label, and their skeleton."""
    path = Path(run) / "categories.json"
    try:
        rows = json.loads(path.read_text())
        categories = tuple(Category(row["id"], row["name"]) for row in rows)
        pairs = rows[0].get("skeleton", []) if rows else []
        return categories, tuple((first - 1, last - 1) for first, last in pairs)
    except FileNotFoundError:
        raise ValueError(f"run: no categories.json in {str(run)!r}") from None
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from None
