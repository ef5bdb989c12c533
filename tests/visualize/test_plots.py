"""Which numbers a curve or a table shows."""

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex

from fpn_jax.evaluation.coco import BOXES, Accumulated, summarize
from fpn_jax.visualize.plots import (
    plot_class_precision,
    plot_confusion,
    plot_losses,
    plot_precision_recall,
    plot_validation,
)

TRAINING = [
    {"step": step, "loss": 2.0, "loss/boxes": 1.0, "learning_rate": 0.1}
    for step in range(0, 50, 10)
]
VALIDATION = [
    {"step": 20, "AR@100": 0.25, "ARs@100": float("nan")},
    {"step": 40, "AR@100": 0.5, "validation/loss": 3.0},
]


def lines(axes) -> dict[str, list]:
    return {
        line.get_label(): line.get_xydata().tolist()
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def test_loss_curves_show_training_and_validation(tmp_path):
    figure = plot_losses(TRAINING + VALIDATION)

    losses, rate = figure.axes
    assert lines(losses) == {
        "loss": [[step, 2] for step in range(0, 50, 10)],
        "loss/boxes": [[step, 1] for step in range(0, 50, 10)],
        "validation/loss": [[40, 3]],
    }
    assert rate.get_lines()[0].get_xydata().tolist() == [
        [step, 0.1] for step in range(0, 50, 10)
    ]
    figure.savefig(tmp_path / "losses.png")
    assert (tmp_path / "losses.png").stat().st_size > 1000


def test_an_optimizer_that_tells_no_rate_has_no_panel_of_it():
    rows = [{"step": step, "loss": 1.0} for step in (1, 2)]
    (losses,) = plot_losses(rows).axes
    assert losses.get_xlabel() == "step"


def test_smoothing_takes_the_median_of_the_neighbors():
    rows = [{"step": n, "loss": 100.0 if n in (0, 50) else n + 1.0} for n in range(99)]
    smooth = np.array(lines(plot_losses(rows).axes[0])["loss"])[:, 1]
    assert smooth[20] == 21  # a straight line stays
    assert abs(smooth[50] - 51) <= 1  # a spike goes
    assert smooth[0] < 10


def test_a_short_curve_shows_every_value_as_it_is():
    rows = [{"step": n, "loss": 1.0 / (n + 1)} for n in range(12)]
    axes = plot_losses(rows).axes[0]
    assert lines(axes)["loss"] == [[n, 1.0 / (n + 1)] for n in range(12)]
    (one,) = [
        line
        for line in plot_losses(rows[:1]).axes[0].get_lines()
        if line.get_label() == "loss"
    ]
    assert one.get_marker() == "."  # a line of one point could not be seen


def test_no_two_losses_of_a_plot_look_alike():
    terms = ["objectness", "proposals", "classes", "boxes", "masks", "keypoints"]
    row = {"step": 0, "loss": 3.0} | {f"loss/{term}": 1.0 for term in terms}
    axes = plot_losses([row, {"step": 1, "validation/loss": 2.0}]).axes[0]
    looks = [
        (to_hex(line.get_color()), line.get_linestyle())
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    ]
    assert len(looks) == 8 and len(set(looks)) == 8


def test_recall_curves_name_the_last_value_and_what_is_missing():
    recall_100 = plot_validation(TRAINING + VALIDATION).axes[0]

    assert lines(recall_100) == {
        "all 0.500": [[20, 0.25], [40, 0.5]],
        "small: none": [],  # but measured, and not of medium and large objects
    }


def test_every_kind_of_result_has_a_panel():
    figure = plot_validation([{"step": 1, "AP": 0.5, "AR@100": 0.6, "mask/AP": 0.4}])

    assert [axes.get_title() for axes in figure.axes] == [
        *("average recall, 100 boxes", "average precision"),
        "average precision of masks",
    ]


def curves(num_classes: int) -> Accumulated:
    """Random precision of classes c0, c1 …; the last one has no objects."""
    shape = (10, 101, num_classes, 4)
    precision = np.random.default_rng(0).uniform(0.5, 0.6, shape)
    precision[:, :, -1] = -1
    names = tuple(f"c{number}" for number in range(num_classes))
    return Accumulated(BOXES, names, precision, np.ones((10, num_classes, 4, 3)))


def test_precision_curves_name_the_average_precision():
    metrics = summarize(curves(4))

    labels = list(lines(plot_precision_recall(curves(4)).axes[0]))

    assert labels[0] == f"IoU 0.5: AP {metrics['AP50']:.3f}"
    assert labels[-1] == f"mean: AP {metrics['AP']:.3f}"


def test_few_classes_are_named_with_their_precision_at_one_half():
    figure = plot_class_precision(curves(4))

    names = [label.split()[0] for label in lines(figure.axes[0])]
    assert names == ["c0", "c1", "c2", "3"]  # c3 has no objects; 3 classes in the mean
    metrics = summarize(curves(4))
    assert list(lines(figure.axes[0]))[-1] == f"3 classes: AP50 {metrics['AP50']:.3f}"


def test_of_many_classes_only_the_mean_is_named():
    axes = plot_class_precision(curves(30)).axes[0]

    assert len(lines(axes)) == 1
    assert len(axes.get_lines()) == 30


@pytest.mark.parametrize("plot", [plot_precision_recall, plot_class_precision])
def test_precision_without_any_object_is_an_empty_plot(plot, tmp_path):
    figure = plot(curves(1))

    figure.savefig(tmp_path / "empty.png")
    assert all(np.isnan(line.get_ydata()).all() for line in figure.axes[0].get_lines())


def test_a_confusion_matrix_shows_shares_by_color_and_counts_by_number():
    matrix = np.array([[3, 1, 0], [0, 0, 2], [5, 0, 0]])

    axes = plot_confusion(matrix, ["cat", "dog"]).axes[0]

    np.testing.assert_allclose(
        axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 1], [1, 0, 0]]
    )
    assert {t.get_position(): t.get_text() for t in axes.texts} == {
        (0, 0): "3",
        (1, 0): "1",
        (2, 1): "2",
        (0, 2): "5",
    }
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert ticks == ["cat", "dog", "not found"]


def test_a_confusion_matrix_of_many_classes_has_no_numbers():
    axes = plot_confusion(np.eye(31, dtype=int), [f"c{n}" for n in range(30)]).axes[0]

    assert not axes.texts


def test_no_global_figure_state_is_loaded():
    modules = "sys, fpn_jax.visualize.plots, fpn_jax.visualize.pictures"
    code = f"import {modules}; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_names_of_classes_are_no_formulas_and_are_all_shown():
    names = ("$x^$", "_hidden", "a$b$c")
    figure = plot_confusion(np.eye(4, dtype=int), names)
    figure.savefig(io.BytesIO())
    shown = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert shown == [r"\$x^\$", " _hidden", r"a\$b\$c", "not found"]
    of_classes = dataclasses.replace(curves(4), names=(*names, "none"))
    legend = plot_class_precision(of_classes).axes[0].get_legend()
    assert len(legend.get_texts()) == 4  # of three with objects, and the mean
