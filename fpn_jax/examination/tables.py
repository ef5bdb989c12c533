"""The content and the defects of a data set as tables for a terminal."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from fpn_jax.data.defects import Defect
from fpn_jax.examination.anchor_coverage import Coverage
from fpn_jax.examination.examine import Examination

_IOUS = (0.5, 0.7)  # COCO's lowest threshold, and an RPN's for a positive
_SIDES = (8, 16, 32, 64, 96, 128, 256, 512)  # px; 32 and 96 are COCO's borders
_CLASSES = 20  # lines of the table; COCO's 80 classes would fill pages
_PLACES = 3  # of a kind of defect that are named
_BAR = 24  # characters
_LETTERS = 30  # of a class's name; longer ones would leave no room for counts


def defect_list(defects: Sequence[tuple[str, Defect]], name: str = "defect") -> str:
    """Returns the number of each kind in each split, with the first three of it."""
    kinds = {}
    for split, defect in defects:
        kinds.setdefault((split, defect.kind), []).append(str(defect))
    lines = [f"{len(defects)} {name}{'s' if len(defects) > 1 else ''}"]
    for (split, kind), found in kinds.items():
        lines.append(f"  {kind}, {split}: {len(found)}")
        lines += [f"    {text}" for text in found[:_PLACES]]
        lines += ["    …"] if len(found) > _PLACES else []
    return "\n".join(lines)


def class_table(splits: Mapping[str, Examination]) -> Table:
    """Returns the objects of each class in each split; of many classes the extremes."""
    found = [_class_counts(each) for each in splits.values()]
    names = list(dict.fromkeys(name for each in found for name in each))
    counts = np.array([[each.get(name, 0) for name in names] for each in found])
    order = np.argsort(-counts[0], kind="stable")
    left_out = max(len(order) - _CLASSES, 0)
    if left_out:
        order = np.concatenate([order[: _CLASSES // 2], order[-_CLASSES // 2 :]])
    table = _table("class", *splits, "")
    for place, label in enumerate(order):
        if left_out and place == _CLASSES // 2:
            table.add_row(f"… {left_out} more", *("" for _ in splits), "")
        bar = _bar(counts[0, label] / max(counts[0].max(), 1))
        table.add_row(escape(_short(names[label])), *map(str, counts[:, label]), bar)
    return table


def size_table(boxes: np.ndarray) -> Table:
    """Returns how many boxes [N, 4] have which side, the root of their area."""
    edges = (0, *_SIDES, np.inf)
    counts, _ = np.histogram(_sides(boxes), edges)
    used = np.flatnonzero(counts)
    table = _table("sides, px", "boxes", "share", "")
    for row in range(used[0], used[-1] + 1):
        end = f"… {edges[row + 1]}" if row + 1 < len(_SIDES) + 1 else "and more"
        bar = _bar(counts[row] / counts.max())
        share = f"{counts[row] / len(boxes):.1%}"
        table.add_row(f"{edges[row]} {end}", str(counts[row]), share, bar)
    return table


def anchor_table(boxes: np.ndarray, found: Coverage) -> Table:
    """Returns for each level its anchors, the boxes it suits, and those it misses."""
    table = _table(
        "level", "anchors", "boxes", "share", "sides, px", "IoU < 0.5", "IoU < 0.7"
    )
    for level, num_anchors in zip(found.levels, found.num_anchors, strict=True):
        here = found.level == level
        table.add_row(
            f"P{level}",
            str(num_anchors),
            *_counts(boxes, here),
            *(str(int((found.iou[here] < iou).sum())) for iou in _IOUS),
        )
    table.add_section()
    table.add_row(
        "all",
        str(sum(found.num_anchors)),
        *_counts(boxes, np.ones(len(boxes), bool)),
        *(
            f"{missed} ({missed / len(boxes):.1%})"
            for missed in (int((found.iou < iou).sum()) for iou in _IOUS)
        ),
    )
    return table


def level_table(boxes: np.ndarray, level: np.ndarray, levels: Sequence[int]) -> Table:
    """Returns how many boxes each level gives features for (FPN, eq. 1)."""
    table = _table("pooled from", "boxes", "share", "sides, px")
    for name in levels:
        table.add_row(f"P{name}", *_counts(boxes, level == name))
    return table


def _table(*names: str) -> Table:
    table = Table(box=SIMPLE)
    for number, name in enumerate(names):
        left = number == 0 or not name  # names and bars
        table.add_column(
            escape(name), justify="left" if left else "right", no_wrap=True
        )
    return table


def _class_counts(examination: Examination) -> dict[str, int]:
    """Returns the objects of each class by its name; crowd regions are none."""
    labels = [one.labels[~one.crowd] for one in examination.seen]
    categories = examination.source.categories
    every = np.concatenate([np.zeros(0, int), *labels])
    counts = np.bincount(every, minlength=len(categories)).tolist()
    return {
        category.name: number
        for category, number in zip(categories, counts, strict=True)
    }


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _counts(boxes: np.ndarray, rows: np.ndarray) -> tuple[str, str, str]:
    """Returns how many boxes, their share, and the middle 80 % of their sizes."""
    sides = _sides(boxes[rows])
    low, high = np.quantile(sides, (0.1, 0.9)) if len(sides) else (0, 0)
    spread = f"{low:.0f} … {high:.0f}" if len(sides) else ""
    return str(len(sides)), f"{len(sides) / len(boxes):.1%}", spread


def _sides(boxes: np.ndarray) -> np.ndarray:
    return np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def _bar(share: float) -> str:
    return "█" * round(share * _BAR) or ("▏" if share else "")
