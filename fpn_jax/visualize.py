"""Pictures: boxes on images, feature pyramids, training and evaluation curves.

Images are RGB uint8 [H, W, 3] and boxes xyxy in their pixels; nothing is drawn in
place. Curves are returned as figures: `plot_losses(rows).savefig(path)`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpn_jax.evaluation.coco import Accumulated

# Okabe and Ito's palette without black: distinct for colour-blind readers too.
_COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SIZES = {"": "all", "s": "small", "m": "medium", "l": "large"}


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    *,
    scores: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    valid: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of the image with the valid boxes, each under a tag of name and score.

    Colours go by label, or by row without labels. The tag is the label's name (its
    number without names) and the score in percent. Earlier boxes lie on top.
    """
    canvas = np.array(image, order="C")
    thickness = _line_width(canvas)
    rows = _rows(boxes, valid)[::-1]
    colours = rows if labels is None else np.asarray(labels)[rows]
    colours = [_COLOURS[number % len(_COLOURS)] for number in colours]
    for row, colour in zip(rows, colours, strict=True):
        cv2.rectangle(canvas, *_corners(boxes[row]), colour, thickness)
    for row, colour in zip(rows, colours, strict=True):
        if tag := _tag(row, scores, labels, names):
            _draw_tag(canvas, tag, _corners(boxes[row])[0], colour)
    return canvas


def draw_truth(
    image: np.ndarray, boxes: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """A copy of the image with the valid boxes dashed in black and white."""
    canvas = np.array(image, order="C")
    thickness = _line_width(canvas) // 2
    for row in _rows(boxes, valid):
        (left, top), (right, bottom) = _corners(boxes[row])
        outline = [(left, top), (right, top), (right, bottom), (left, bottom)]
        for start, end in zip(outline, outline[1:] + outline[:1], strict=True):
            cv2.line(canvas, start, end, _BLACK, thickness)
            _draw_dashes(canvas, start, end, thickness)
    return canvas


def sample_grid(
    images: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    *,
    columns: int = 4,
    panel: int = 480,
) -> np.ndarray:
    """One picture of all images with their true boxes (dashed) and found boxes.

    Every image is scaled to fit a square of `panel` pixels before anything is drawn, so
    lines and tags read alike whatever the image's size.
    """
    panels = []
    for image, true, found, score in zip(images, truth, boxes, scores, strict=True):
        scale = panel / max(image.shape[:2])
        picture = cv2.resize(image, None, fx=scale, fy=scale)
        picture = draw_boxes(picture, np.asarray(found) * scale, scores=score)
        picture = draw_truth(picture, np.asarray(true) * scale)
        panels.append(_pad(picture, panel + 4))
    blank = np.full_like(panels[0], 255)
    panels += [blank] * (-len(panels) % columns)
    rows = [panels[n : n + columns] for n in range(0, len(panels), columns)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def pyramid_picture(
    image: np.ndarray, pyramid: Mapping[int, np.ndarray], *, panel: int = 320
) -> np.ndarray:
    """The image, then the mean absolute activation of each level [H, W, C], fine first.

    Every level has its own brightness range, and its cells are drawn as squares.
    """
    scale = panel / max(image.shape[:2])
    size = tuple(round(side * scale) for side in image.shape[1::-1])
    panels = [cv2.resize(image, size)]
    for level, features in sorted(pyramid.items()):
        strength = np.abs(np.asarray(features, np.float32)).mean(axis=-1)
        strength = strength / max(float(strength.max()), 1e-12)
        heat = cv2.applyColorMap(np.uint8(255 * strength), cv2.COLORMAP_VIRIDIS)
        picture = cv2.resize(heat[..., ::-1], size, interpolation=cv2.INTER_NEAREST)
        grid = "x".join(str(side) for side in strength.shape)
        _draw_tag(picture, f"level {level}: {grid}", (0, 0), _WHITE)
        panels.append(picture)
    return np.concatenate(panels, axis=1)


def save_image(path: Path | str, image: np.ndarray) -> None:
    """Writes an RGB image; the suffix chooses the format.

    Raises:
        OSError: if the file cannot be written. Names it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not cv2.imwrite, which returns False for every reason.
    path.write_bytes(cv2.imencode(path.suffix, image[..., ::-1])[1].tobytes())


def plot_losses(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Training losses (smoothed over raw), validation loss, and learning rate by step.

    Rows are those of metrics.jsonl: `step`, and `loss`, `loss/…`, `learning_rate` when
    training or `validation/loss` when validating. The loss axis is logarithmic.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")
    losses, rate = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    names = sorted({name for row in rows for name in row if name.startswith("loss")})
    for number, name in enumerate(names):
        steps, values = _series(rows, name)
        colour = "black" if name == "loss" else f"C{number - 1}"
        losses.plot(steps, values, color=colour, alpha=0.2, linewidth=0.8)
        losses.plot(steps, _smooth(values), color=colour, label=name)
    steps, values = _series(rows, "validation/loss")
    losses.plot(steps, values, "o--", color="tab:red", label="validation/loss")
    losses.set(ylabel="loss", yscale="log")
    losses.yaxis.set_major_formatter("{x:g}")
    losses.legend(frameon=False)
    rate.plot(*_series(rows, "learning_rate"), color="tab:gray")
    rate.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
    _tidy(losses, rate)
    return figure


def plot_average_recall(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Average recall at 100 and 1000 boxes, and precision, by step and object size."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    titles = {
        "AR{}@100": "average recall, 100 boxes",
        "AR{}@1000": "average recall, 1000 boxes",
        "AP{}": "average precision",
    }
    panels = figure.subplots(1, len(titles), sharey=True)
    for axes, (pattern, title) in zip(panels, titles.items(), strict=True):
        for number, (letter, size) in enumerate(_SIZES.items()):
            steps, values = _series(rows, pattern.format(letter))
            label = f"{size} {values[-1]:.3f}" if len(values) else f"{size}: none"
            colour = "black" if size == "all" else f"C{number - 1}"
            axes.plot(steps, values, "o-", markersize=3, color=colour, label=label)
        axes.set(title=title, xlabel="step", ylim=(0, 1))
        axes.legend(frameon=False)
    _tidy(*panels)
    return figure


def plot_precision_recall(accumulated: Accumulated) -> Figure:
    """Precision over recall at every second IoU threshold, and their mean in black."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    precision = accumulated.precision[:, :, 0, 0]  # all sizes, 100 boxes
    precision = np.where(precision < 0, np.nan, precision)
    recalls = np.linspace(0, 1, precision.shape[1])
    for row in range(0, 10, 2):
        label = f"IoU {0.5 + row * 0.05:.1f}: AP {precision[row].mean():.3f}"
        axes.plot(recalls, precision[row], color=(0.1 * row, 0.5, 0.8), label=label)
    mean = precision.mean(axis=0)
    axes.plot(recalls, mean, "k", linewidth=2, label=f"mean: AP {mean.mean():.3f}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False)
    _tidy(axes)
    return figure


def _rows(boxes: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    return np.arange(len(boxes)) if valid is None else np.flatnonzero(valid)


def _corners(box: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    left, top, right, bottom = (round(float(side)) for side in box)
    return (left, top), (right, bottom)


def _line_width(image: np.ndarray) -> int:
    """2 pixels, and 1 more for every 300 of the shorter side above 600."""
    return max(2, round(min(image.shape[:2]) / 300))


def _tag(
    row: int,
    scores: np.ndarray | None,
    labels: np.ndarray | None,
    names: Sequence[str] | None,
) -> str:
    parts = []
    if labels is not None:
        label = int(labels[row])
        parts.append(str(label) if names is None else names[label])
    if scores is not None:
        parts.append(f"{100 * float(scores[row]):.0f}")
    return " ".join(parts)


def _draw_tag(image: np.ndarray, text: str, corner: tuple, colour: tuple) -> None:
    """Draws the text on a plate of the colour, above the corner or inside the image."""
    scale = 0.38 * max(1.0, min(image.shape[:2]) / 480)
    (width, height), below = cv2.getTextSize(text, _FONT, scale, 1)
    left = int(np.clip(corner[0], 0, max(0, image.shape[1] - width - 4)))
    bottom = max(corner[1], height + below + 4)
    plate = (left, bottom - height - below - 4), (left + width + 4, bottom)
    cv2.rectangle(image, *plate, colour, cv2.FILLED)
    # Rec. 601 luma: black text on light plates, white on dark.
    ink = _BLACK if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else _WHITE
    origin = (left + 2, bottom - below - 1)
    cv2.putText(image, text, origin, _FONT, scale, ink, 1, cv2.LINE_AA)


def _draw_dashes(image: np.ndarray, start: tuple, end: tuple, thickness: int) -> None:
    dash = 5 * thickness
    start, end = np.array(start), np.array(end)
    length = np.abs(end - start).max()
    for offset in range(0, length, 2 * dash):
        ends = np.minimum([offset, offset + dash], length)[:, None] / length
        points = np.rint(start + ends * (end - start)).astype(int)
        cv2.line(image, *map(tuple, points.tolist()), _WHITE, thickness)


def _pad(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    padding = (0, side - height), (0, side - width), (0, 0)
    return np.pad(image, padding, constant_values=255)


def _series(rows: Sequence[Mapping], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of the rows that have a number there, not null or NaN."""
    pairs = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    steps, values = np.array(pairs, np.float64).reshape(-1, 2).T
    exist = ~np.isnan(values)
    return steps[exist], values[exist]


def _smooth(values: np.ndarray) -> np.ndarray:
    """Median of each value and its five neighbours on either side, fewer at the ends.

    Not the mean: the fall of the first steps would lift it for a long while.
    """
    windows = (values[max(0, n - 5) : n + 6] for n in range(len(values)))
    return np.array([np.median(window) for window in windows])


def _tidy(*panels: Axes) -> None:
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
