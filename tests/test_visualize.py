"""Pictures: what is drawn where, and which numbers a curve shows."""

import subprocess
import sys

import numpy as np
import pytest

from fpn_jax.evaluation.coco import Accumulated, summarise
from fpn_jax.visualize import (
    draw_boxes,
    draw_truth,
    plot_average_recall,
    plot_losses,
    plot_precision_recall,
    pyramid_picture,
    sample_grid,
    save_image,
)

GREY = np.full((100, 120, 3), 128, np.uint8)
BOX = np.float32([[30, 40, 90, 80]])


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Rows and columns of the changed pixels, as (top, left, bottom, right)."""
    rows, columns = np.nonzero((before != after).any(axis=-1))
    return np.array([rows.min(), columns.min(), rows.max(), columns.max()])


@pytest.mark.parametrize("draw", [draw_boxes, draw_truth])
def test_a_box_is_drawn_along_its_edges_on_a_copy(draw):
    picture = draw(GREY, BOX)

    assert (GREY == 128).all()
    # Lines are two pixels wide or less, one of them on the edge.
    np.testing.assert_allclose(changed(GREY, picture), [40, 30, 80, 90], atol=1)
    assert (picture[45:75, 35:85] == 128).all()


@pytest.mark.parametrize("draw", [draw_boxes, draw_truth])
def test_padding_boxes_are_not_drawn(draw):
    assert (draw(GREY, BOX, valid=np.array([False])) == GREY).all()


def test_labels_choose_the_colour_and_rows_do_without_labels():
    boxes = np.concatenate([BOX, BOX + 5])
    by_row, by_label = (
        draw_boxes(GREY, boxes, labels=labels) for labels in (None, np.array([1, 1]))
    )
    first, second = (40, 60), (45, 60)  # a pixel of either upper edge

    assert (by_row[first] != by_row[second]).any()
    assert (by_label[first] == by_row[second]).all()


def test_truth_is_dashed_in_black_and_white():
    edge = draw_truth(GREY, BOX)[40, 30:90]

    assert {tuple(pixel) for pixel in edge.tolist()} == {(0, 0, 0), (255, 255, 255)}


@pytest.mark.parametrize("corner", [(-20, -20), (0, 0), (110, 90), (118, 0)])
def test_a_tag_stays_readable_at_the_border_of_the_image(corner):
    box = np.float32([[*corner, corner[0] + 30, corner[1] + 30]])
    plain = draw_boxes(GREY, box)
    tagged = draw_boxes(GREY, box, scores=np.float32([0.87]), labels=[2], names="abc")

    top, left, bottom, right = changed(plain, tagged)
    assert bottom - top >= 9
    assert right - left >= 20


def test_the_grid_holds_every_image_at_one_size():
    images = [GREY, np.zeros((320, 320, 3), np.uint8), GREY]
    boxes, scores = [BOX, np.zeros((0, 4)), BOX], [np.ones(1), np.ones(0), np.ones(1)]

    grid = sample_grid(images, boxes, boxes, scores, columns=2, panel=200)

    assert grid.shape == (408, 408, 3)
    assert (grid[204:, 204:] == 255).all()  # the empty fourth place
    assert (grid[10:190, 214:394] == 0).all()


def test_a_pyramid_is_drawn_level_by_level():
    image = np.zeros((64, 64, 3), np.uint8)
    pyramid = {3: np.ones((8, 8, 5)), 2: np.ones((16, 16, 5))}
    pyramid[3][:4] = 0  # the upper half is inactive

    picture = pyramid_picture(image, pyramid, panel=128)

    assert picture.shape == (128, 3 * 128, 3)
    upper, lower = picture[40:64, 256:], picture[64:, 256:]
    assert len(np.unique(upper.reshape(-1, 3), axis=0)) == 1
    assert lower.mean() > upper.mean()


def test_a_saved_image_keeps_its_colours(tmp_path):
    import cv2

    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    save_image(tmp_path / "new" / "red.png", red)

    assert (cv2.imread(str(tmp_path / "new" / "red.png"))[0, 0] == [0, 0, 200]).all()


def test_an_image_that_cannot_be_saved_is_an_error_with_its_path(tmp_path):
    (tmp_path / "red.png").mkdir()

    with pytest.raises(OSError, match="red.png"):
        save_image(tmp_path / "red.png", GREY)


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


def test_smoothing_takes_the_median_of_the_neighbours():
    rows = [{"step": n, "loss": 100.0 if n in (0, 50) else n + 1.0} for n in range(99)]
    smooth = np.array(lines(plot_losses(rows).axes[0])["loss"])[:, 1]
    assert smooth[20] == 21  # a straight line stays
    assert abs(smooth[50] - 51) <= 1  # a spike goes
    assert smooth[0] < 10


def test_recall_curves_name_the_last_value_and_what_is_missing():
    recall_100 = plot_average_recall(TRAINING + VALIDATION).axes[0]

    assert lines(recall_100) == {
        "all 0.500": [[20, 0.25], [40, 0.5]],
        "small: none": [],
        "medium: none": [],
        "large: none": [],
    }


def test_precision_curves_name_the_average_precision():
    precision = np.random.default_rng(0).uniform(0.5, 0.6, (10, 101, 4, 2))
    accumulated = Accumulated(precision=precision, recall=np.ones((10, 4, 2)))
    metrics = summarise(accumulated)

    labels = list(lines(plot_precision_recall(accumulated).axes[0]))

    assert labels[0] == f"IoU 0.5: AP {metrics['AP50']:.3f}"
    assert labels[-1] == f"mean: AP {metrics['AP']:.3f}"


def test_no_global_figure_state_is_loaded():
    code = "import sys, fpn_jax.visualize; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
