import numpy as np
import pytest

from fpn_jax.data.example import Category
from fpn_jax.data.relabel import Relabeled
from tests.support.gray_source import GraySource


class Zoo(GraySource):
    categories = (Category(7, "cat"), Category(2, "dog"))

    def __getitem__(self, index):
        example = super().__getitem__(index)
        return example.select([0]) if index else example.select([])


def test_labels_count_the_given_categories_which_keep_the_ids_of_the_data():
    given = [Category(1, "bird"), Category(2, "cat"), Category(3, "dog")]

    source = Relabeled(Zoo(2), given)

    assert source.categories == (Category(8, "bird"), (7, "cat"), (2, "dog"))
    assert source[0].labels.tolist() == []
    assert source[1].labels.tolist() == [1]  # the first category of the data is cat
    assert source[1].labels.dtype == np.int32
    assert (len(source), source.name) == (2, "gray")


def test_a_category_that_a_model_does_not_have_is_one_clear_line():
    with pytest.raises(ValueError, match="^category of gray must be .* got 'dog'"):
        Relabeled(Zoo(1), [Category(1, "cat")])
