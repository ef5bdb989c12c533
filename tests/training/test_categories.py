"""The classes of a run, and what its heads must have of them."""

import pytest

from fpn_jax.data.example import Category
from fpn_jax.training.categories import (
    load_categories,
    run_categories,
    write_categories,
)
from fpn_jax.zoo.digits import digits_faster_rcnn, digits_proposal_network
from fpn_jax.zoo.torchvision import retinanet_resnet50_fpn

TEN = tuple(Category(10 * i, str(i)) for i in range(10))


def test_a_detector_has_the_categories_of_its_data():
    assert run_categories(digits_faster_rcnn(), TEN) == TEN


def test_a_proposal_network_knows_one_category_whatever_the_data():
    assert run_categories(digits_proposal_network(), TEN) == (Category(1, "object"),)


@pytest.mark.parametrize(
    "model, option",
    [
        (digits_faster_rcnn(num_classes=3), "model.box-head.num-classes"),
        (retinanet_resnet50_fpn(), "model.head.num-classes"),
    ],
)
def test_another_number_of_classes_is_told_with_the_option_that_mends_it(model, option):
    with pytest.raises(ValueError, match=f"give --{option} 10"):
        run_categories(model, TEN)


def test_what_is_written_comes_back(tmp_path):
    write_categories(TEN, ((0, 1), (1, 2)), tmp_path)
    assert load_categories(tmp_path) == (TEN, ((0, 1), (1, 2)))
    write_categories(TEN, (), tmp_path)
    assert load_categories(tmp_path) == (TEN, ())


@pytest.mark.parametrize("text", ["[", "[{}]", "{}x", '[{"id": 1}]'])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "categories.json").write_text(text)
    with pytest.raises(ValueError, match="categories.json"):
        load_categories(tmp_path)
