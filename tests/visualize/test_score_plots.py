from fpn_jax.evaluation.operating_point import score_curves
from fpn_jax.visualize.score_plots import plot_scores
from tests.support.scenes import CAT, DOG, LEFT, RIGHT, found, scene


def test_each_panel_names_its_value_at_the_best_threshold(tmp_path):
    truth = scene((CAT, LEFT), (CAT, RIGHT), (DOG, [100, 0, 10, 10]))
    curves = score_curves(truth, [found(CAT, LEFT, 0.8)])

    figure = plot_scores(curves)

    titles = [axes.get_title() for axes in figure.axes]
    # Of the cats one of two, of the dogs none: F1 (2/3 + 0) / 2, recall (1/2 + 0) / 2.
    assert titles == [
        "F1 0.333 with scores from 0.400",
        "precision 1.000 with scores from 0.400",
        "recall 0.250 with scores from 0.400",
    ]
    lines = {line.get_label(): line for line in figure.axes[2].get_lines()}
    assert lines["cat"].get_ydata()[0] == 0.5 and lines["dog"].get_ydata()[0] == 0
    assert lines["mean"].get_ydata()[0] == 0.25
    figure.savefig(tmp_path / "f1.png")
