"""F1, precision and recall by the score from which detections are used."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpn_jax.evaluation.operating_point import ScoreCurves, best_figures
from fpn_jax.visualize.plots import MOST_NAMED, finish, plain


def plot_scores(curves: ScoreCurves) -> Figure:
    """A panel each of F1, precision and recall, with a line for each class.

    The mean of the classes is black. A vertical line marks the score threshold where
    the mean of F1 is highest, and the panel's title names its value there. Classes have
    a legend where they are few.
    """
    figure = Figure(figsize=(14, 4.5), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    best = best_figures(curves)
    for axes, (name, values, key) in zip(
        panels,
        (
            ("F1", curves.f1, "F1"),
            ("precision", curves.precision, "F1/precision"),
            ("recall", curves.recall, "F1/recall"),
        ),
        strict=True,
    ):
        _draw(axes, curves, values)
        axes.axvline(best["F1/threshold"], color="0.4", linestyle=":")
        threshold = f"scores from {best['F1/threshold']:.3f}"
        axes.set(title=f"{name} {best[key]:.3f} with {threshold}", ylabel=name)
        axes.set(xlabel="lowest score that is used", xlim=(0, 1), ylim=(0, 1.02))
    if len(curves.names) <= MOST_NAMED:
        panels[-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    finish(*panels)
    return figure


def _draw(axes: Axes, curves: ScoreCurves, values: np.ndarray) -> None:
    few = len(curves.names) <= MOST_NAMED
    for number, (name, column) in enumerate(zip(curves.names, values.T, strict=True)):
        style = "-" if number < 10 else "--"  # the colors repeat after ten
        color = f"C{number % 10}" if few else "0.8"
        label = plain(name) if few else None
        axes.plot(
            curves.thresholds, column, style, color=color, linewidth=0.9, label=label
        )
    exist = ~np.isnan(values)
    mean = np.where(exist, values, 0).sum(axis=1) / np.maximum(exist.sum(axis=1), 1)
    mean[~exist.any(axis=1)] = np.nan
    axes.plot(curves.thresholds, mean, "k", linewidth=2, label="mean")
