"""COCO's metrics for a terminal."""

import math
import re

from rich.markup import escape
from rich.table import Table

_PREFIXES = ("", "mask/", "keypoint/")  # of the metric names
_RECALL = re.compile(r"(?:mask/|keypoint/)?AR(@\d+)")
_COLUMNS = {
    **{"all": "", "small": "s", "medium": "m", "large": "l"},  # objects
    **{"0.50": "50", "0.75": "75"},  # thresholds
}


def metrics_table(metrics: dict[str, float], *, title: str) -> Table:
    """Precision and recall by object size and threshold.

    Boxes, masks and keypoints have a section each where they were measured. Below stand
    F1 with the score threshold where it is highest, and the loss.
    """
    table = Table(
        title=escape(title),
        title_justify="left",
        caption="\n".join(_caption(metrics)) or None,
        caption_justify="left",
    )
    table.add_column("")
    for heading in _COLUMNS:
        table.add_column(heading, justify="right")
    limits = {found[1] for name in metrics if (found := _RECALL.fullmatch(name))}
    rows = [("AR", limit) for limit in sorted(limits, key=lambda x: int(x[1:]))]
    for prefix in _PREFIXES:
        for kind, limit in [("AP", ""), *rows]:
            if prefix + kind + limit in metrics:
                keys = (f"{prefix}{kind}{part}{limit}" for part in _COLUMNS.values())
                cells = (_cell(metrics.get(key)) for key in keys)
                table.add_row(prefix + kind + limit, *cells)
        table.add_section()
    return table


def class_metrics_table(metrics: dict[str, float]) -> Table:
    """The average precision of each class that has objects, best first."""
    prefixes = [prefix for prefix in _PREFIXES if f"{prefix}AP" in metrics]
    names = [key.removeprefix("AP/") for key in metrics if key.startswith("AP/")]
    names.sort(key=lambda name: -metrics[f"AP/{name}"])
    table = Table("", *(f"{prefix}AP" for prefix in prefixes))
    for name in names:
        cells = (_cell(metrics.get(f"{prefix}AP/{name}")) for prefix in prefixes)
        table.add_row(escape(name), *cells)
    return table


def image_count(read: int, listed: int) -> str:
    """Returns the number of images that could be read, for the title of a table."""
    images = "image" if listed == 1 else "images"
    return f"{listed} {images}" if read == listed else f"{read} of {listed} {images}"


def _caption(metrics: dict[str, float]) -> list[str]:
    lines = []
    if not math.isnan(f1 := metrics.get("F1", math.nan)):
        at = {
            name: metrics[f"F1/{name}"] for name in ("threshold", "precision", "recall")
        }
        lines.append(
            f"F1 {f1:.3f} from score {at['threshold']:.3f}: precision "
            f"{_cell(at['precision'])}, recall {at['recall']:.3f}"
        )
    return [*lines, f"loss {metrics['loss']:.4f}"] if "loss" in metrics else lines


def _cell(value: float | None) -> str:
    """A value; nothing if it was not measured, a dash if there are no such objects."""
    if value is None:
        return ""
    return "-" if math.isnan(value) else f"{value:.3f}"
