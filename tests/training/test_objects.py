"""Training data with nothing in it."""

import numpy as np
import pytest

from fpn_jax.training.objects import check_objects
from tests.support.gray_source import GraySource


class Known(GraySource):
    """A source that knows its objects: `counts` of objects and crowd regions."""

    def __init__(self, counts):
        self._counts = np.array(counts)
        super().__init__(len(counts))

    def has_objects(self, *, keypoints):
        return self._counts[:, 0] > 0

    def object_counts(self):
        return self._counts


def test_data_without_an_object_is_refused():
    with pytest.raises(ValueError, match="none of the 3 images of gray has an object"):
        check_objects(Known([[0, 0]] * 3), keypoints=False)


def test_crowd_regions_are_said_to_be_no_objects():
    crowded = Known([[0, 2], [0, 3]])
    with pytest.raises(ValueError, match="; 5 annotations are crowd regions .iscrowd"):
        check_objects(crowded, keypoints=False)


def test_less_than_a_tenth_with_objects_is_one_line():
    few = [[1, 0]] + [[0, 0]] * 10
    assert check_objects(Known(few), keypoints=False) == (
        "data.train: 1 of the 11 images of gray has an object, all others are "
        "background; --data.skip-empty leaves them out"
    )
    assert check_objects(Known(few[:10]), keypoints=False) is None


def test_a_source_that_knows_nothing_is_looked_at():
    assert check_objects(GraySource(100, unreadable=(0,)), keypoints=False) is None
    unreadable = tuple(range(40))
    with pytest.raises(ValueError, match="none of the 30 images"):
        check_objects(GraySource(30, unreadable=unreadable), keypoints=False)
    assert "0 of the 32 images that were looked at" in check_objects(
        GraySource(40, unreadable=unreadable), keypoints=False
    )


def test_without_keypoints_a_model_of_keypoints_has_nothing_to_learn():
    with pytest.raises(ValueError, match="has an object with keypoints"):
        check_objects(GraySource(3), keypoints=True)
