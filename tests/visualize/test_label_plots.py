import numpy as np

from fpn_jax.visualize.label_plots import plot_labels


def test_the_bars_are_the_classes_and_the_places_are_shares_of_the_image():
    boxes = [np.float64([[0, 0, 20, 10], [10, 0, 20, 10]]), np.zeros((0, 4))]
    labels = [np.array([1, 1]), np.zeros(0, int)]

    figure = plot_labels(boxes, labels, [(20, 40), (8, 8)], ["a", "_b"], title="t")

    by_class, by_image, places, extents = figure.axes
    assert [bar.get_width() for bar in by_class.patches] == [2, 0]
    assert [text.get_text() for text in by_class.get_yticklabels()] == [" _b", "a"]
    assert [bar.get_height() for bar in by_image.patches] == [1, 0, 1]
    # Centers (10, 5) and (15, 5) of 40 x 20: columns 12 and 18 of 50, row 12.
    counts = np.nan_to_num(places.images[0].get_array().filled(np.nan))
    assert np.argwhere(counts).tolist() == [[12, 12], [12, 18]]
    # Widths 20 and 10 of 40, height 10 of 20.
    sides = np.nan_to_num(extents.images[0].get_array().filled(np.nan))
    assert np.argwhere(sides).tolist() == [[25, 12], [25, 25]]


def test_of_many_classes_the_extremes_are_shown():
    labels = [np.repeat(np.arange(30), np.arange(30))]
    boxes = [np.zeros((len(labels[0]), 4))]
    figure = plot_labels(
        boxes, labels, [(8, 8)], [f"c{n}" for n in range(30)], title=""
    )
    shown = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert shown == [f"c{n}" for n in (*range(29, 19, -1), *range(9, -1, -1))]
    assert "10 classes in between" in figure.axes[0].get_xlabel()
