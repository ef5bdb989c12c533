"""The objects of a data set: their classes, sizes, places and numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fpn_jax.visualize.plots import MOST_NAMED, finish, plain

_BINS = 50  # of an image's side


def plot_labels(
    boxes: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    sizes: Sequence[tuple[int, int]],
    names: Sequence[str],
    *,
    title: str,
) -> Figure:
    """Objects by class and by image, and where boxes lie and how large they are.

    Args:
        boxes: [n, 4] of every image, xyxy in its pixels.
        labels: [n] of every image.
        sizes: height and width of every image.
        names: of the classes by label.
        title: of the whole figure.
    """
    figure = Figure(figsize=(11, 8), layout="constrained")
    figure.suptitle(plain(title))
    (by_class, by_image), (places, extents) = figure.subplots(2, 2)
    _classes(by_class, np.concatenate([*labels, np.zeros(0, int)]), names)
    counts = np.array([len(each) for each in labels])
    by_image.hist(counts, bins=np.arange(counts.max(initial=0) + 2) - 0.5, color="C0")
    mean = counts.mean() if len(counts) else 0
    by_image.set(
        title="objects by image",
        xlabel=f"objects of an image, {mean:.1f} on average",
        ylabel="images",
    )
    by_image.yaxis.set_major_locator(MaxNLocator(integer=True))
    shares = [
        each / np.array([width, height] * 2)
        for each, (height, width) in zip(boxes, sizes, strict=True)
    ]
    shares = np.concatenate([*shares, np.zeros((0, 4))])
    centers = (shares[:, :2] + shares[:, 2:]) / 2
    _shares(places, centers)
    places.set(
        title="centers of boxes", xlabel="x / image width", ylabel="y / image height"
    )
    places.invert_yaxis()
    _shares(extents, shares[:, 2:] - shares[:, :2])
    extents.set(
        title="sizes of boxes",
        xlabel="box width / image width",
        ylabel="box height / image height",
    )
    finish(by_class, by_image)
    return figure


def _classes(axes: Axes, labels: np.ndarray, names: Sequence[str]) -> None:
    """Bars of the classes, most objects first; of many the extremes."""
    counts = np.bincount(labels, minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    left_out = len(order) - MOST_NAMED
    if left_out > 0:
        half = MOST_NAMED // 2
        order = np.concatenate([order[:half], order[-half:]])
        axes.axhline(half - 0.5, color="0.4", linestyle=":")
    places = np.arange(len(order))
    bars = axes.barh(places, counts[order], color="C0")
    axes.bar_label(bars, padding=2, fontsize=8)
    shown = [plain(names[int(label)]) for label in order]
    axes.set_yticks(places, shown, fontsize=8)
    axes.invert_yaxis()
    middle = f"; {left_out} classes in between are left out" if left_out > 0 else ""
    axes.set(title="objects by class", xlabel=f"objects{middle}")
    axes.margins(x=0.12)


def _shares(axes: Axes, points: np.ndarray) -> None:
    counts = np.histogram2d(*points.T, bins=_BINS, range=((0, 1), (0, 1)))[0]
    shown = np.where(counts > 0, counts, np.nan)
    least = -0.4 * counts.max()  # one object, among many in a place, is seen as well
    axes.imshow(shown.T, origin="lower", extent=(0, 1, 0, 1), cmap="Blues", vmin=least)
