"""Curves and tables of numbers: training, validation, precision, confusion.

All are returned as figures: `plot_losses(rows).savefig(path)`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from fpn_jax.evaluation.coco import Accumulated

_SIZES = {"": "all", "s": "small", "m": "medium", "l": "large"}
# Metrics of a validation that get a panel, where they were measured.
_PANELS = {
    "AR{}@100": "average recall, 100 boxes",
    "AR{}@1000": "average recall, 1000 boxes",
    "AP{}": "average precision",
    "mask/AP{}": "average precision of masks",
    "keypoint/AP{}": "average precision of keypoints",
}
MOST_NAMED = 20  # classes with a name of their own in a plot; more would overlap
_DOTTED = 20  # points at most of a curve with dots; one point would be no line


def plot_losses(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Training losses (smoothed over raw), validation loss, and learning rate by step.

    Rows are those of metrics.jsonl: `step`, and `loss`, `loss/…`, `learning_rate` when
    training or `validation/loss` when validating. The loss axis is logarithmic.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")
    rates = _series(rows, "learning_rate")  # an optimizer of the user's own tells none
    panels = 2 if len(rates[0]) else 1
    heights = (4, 1)[:panels]
    all_axes = figure.subplots(
        panels, 1, sharex=True, height_ratios=heights, squeeze=False
    )[:, 0]
    losses = all_axes[0]
    names = sorted({name for row in rows for name in row if name.startswith("loss")})
    for number, name in enumerate(names):
        steps, values = _series(rows, name)
        color = "black" if name == "loss" else f"C{number - 1}"
        losses.plot(steps, values, color=color, alpha=0.2, linewidth=0.8)
        dot = "." if len(values) <= _DOTTED else None
        style = "-" if number <= 10 else "-."  # the colors repeat after ten
        losses.plot(steps, _smooth(values), style, color=color, marker=dot, label=name)
    steps, values = _series(rows, "validation/loss")
    # Black as the sum that it is held against; each color is a term's already.
    style = {"color": "black", "marker": "o", "markerfacecolor": "white"}
    losses.plot(steps, values, "--", **style, label="validation/loss")
    losses.set(ylabel="loss", yscale="log")
    losses.yaxis.set_major_formatter("{x:g}")
    losses.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    losses.yaxis.set_minor_formatter("{x:g}")
    losses.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    if panels == 2:
        all_axes[1].plot(*rates, color="tab:gray")
        all_axes[1].set(ylabel="learning rate", ylim=(0, None))
    all_axes[-1].set(xlabel="step")
    all_axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    finish(*all_axes)
    return figure


def plot_validation(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Average recall and precision by step and object size, a panel of each."""
    panels = {
        pattern: title
        for pattern, title in _PANELS.items()
        if any(pattern.format("") in row for row in rows)
    }
    figure = Figure(figsize=(4 * len(panels), 4.5), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (pattern, title) in zip(all_axes, panels.items(), strict=True):
        for number, (letter, size) in enumerate(_SIZES.items()):
            if not any(pattern.format(letter) in row for row in rows):
                continue
            steps, values = _series(rows, pattern.format(letter))
            label = f"{size} {values[-1]:.3f}" if len(values) else f"{size}: none"
            color = "black" if size == "all" else f"C{number - 1}"
            axes.plot(steps, values, "o-", markersize=3, color=color, label=label)
        axes.set(title=title, xlabel="step", ylim=(0, 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
    finish(*all_axes)
    return figure


def plot_precision_recall(accumulated: Accumulated) -> Figure:
    """Precision over recall at every second threshold, and their mean in black.

    It is the mean of the classes that have objects.
    """
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    precision = accumulated.precision[..., _classes(accumulated), 0].mean(axis=-1)
    precision = np.where(precision < 0, np.nan, precision)
    recalls = np.linspace(0, 1, precision.shape[1])
    for row in range(0, 10, 2):
        label = f"IoU {0.5 + row * 0.05:.1f}: AP {precision[row].mean():.3f}"
        axes.plot(recalls, precision[row], color=(0.1 * row, 0.5, 0.8), label=label)
    mean = precision.mean(axis=0)
    axes.plot(recalls, mean, "k", linewidth=2, label=f"mean: AP {mean.mean():.3f}")
    _finish_precision(axes)
    return figure


def plot_class_precision(accumulated: Accumulated) -> Figure:
    """Precision over recall of each class at the threshold 0.5, their mean in black.

    Classes are named, with their AP50, where they are few; otherwise they are gray.
    Those without objects are left out.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    classes = _classes(accumulated)
    precision = accumulated.precision[0][..., classes, 0]
    precision = np.where(precision < 0, np.nan, precision)
    recalls = np.linspace(0, 1, len(precision))
    for number, (k, values) in enumerate(zip(classes, precision.T, strict=True)):
        if len(classes) > MOST_NAMED:
            axes.plot(recalls, values, color="0.8", linewidth=0.8)
            continue
        label = f"{plain(accumulated.names[k])} {values.mean():.3f}"
        style = "-" if number < 10 else "--"  # the colors repeat after ten
        axes.plot(recalls, values, style, color=f"C{number % 10}", label=label)
    mean = precision.mean(axis=1)
    label = f"{len(classes)} classes: AP50 {mean.mean():.3f}"
    axes.plot(recalls, mean, "k", linewidth=2, label=label)
    _finish_precision(axes)
    return figure


def plot_confusion(
    matrix: np.ndarray, names: Sequence[str], *, title: str = ""
) -> Figure:
    """The shares of each true class (row) that were found as each class (column).

    Args:
        matrix: counts [K+1, K+1] of `confusion_matrix`; the last of both is nothing.
        names: K. Where they are few, cells hold their counts.
        title: of the figure.
    """
    side = float(np.clip(0.45 * len(matrix), 4.5, 20))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, label="share of the row", shrink=0.8)
    ticks = range(len(matrix))
    shown = list(map(plain, names))
    axes.set_xticks(ticks, [*shown, "not found"], rotation=90)
    axes.set_yticks(ticks, [*shown, "no object"])
    axes.set(xlabel="found", ylabel="true", title=title)
    if len(names) <= MOST_NAMED:
        for row, column in np.argwhere(matrix):
            ink = "white" if shares[row, column] > 0.5 else "black"
            text = str(matrix[row, column])
            axes.text(column, row, text, ha="center", va="center", color=ink, size=8)
    return figure


def _classes(accumulated: Accumulated) -> list[int]:
    """The classes that have objects; the first one where none has."""
    exist = (accumulated.precision[..., 0] > -1).any(axis=(0, 1))
    return np.flatnonzero(exist).tolist() or [0]


def _finish_precision(axes: Axes) -> None:
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    finish(axes)


def _series(rows: Sequence[Mapping], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of the rows that have a number there, not null or NaN."""
    pairs = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    steps, values = np.array(pairs, np.float64).reshape(-1, 2).T
    exist = ~np.isnan(values)
    return steps[exist], values[exist]


def _smooth(values: np.ndarray) -> np.ndarray:
    """Median of each value and its neighbors: one in twenty of all, at most 5, a side.

    A median, because the fall of the first steps would lift a mean for a long while. A
    short curve stays as it is: over a window of its own length it would be a flat line.
    """
    reach = min(5, len(values) // 20)
    windows = (values[max(0, n - reach) : n + reach + 1] for n in range(len(values)))
    return np.array([np.median(window) for window in windows])


def finish(*panels: Axes) -> None:
    """Draws a light grid, and no frame at the top and the right."""
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)


def plain(name: str) -> str:
    """The name as Matplotlib shows it, without formulas between dollars.

    Labels that begin with an underscore would be left out of a legend.
    """
    text = name.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
