"""Defects that only several images of a data set show together."""

import dataclasses

import numpy as np
import pytest

from fpn_jax.data.example import Category, Example
from fpn_jax.examination.examine import examine
from tests.support.gray_source import GraySource


class Sparse(GraySource):
    """Noise; the first images have an object, the others none or a crowd."""

    def __init__(self, size: int, *, having: int, crowd: bool = False):
        super().__init__(size)
        self._having, self._crowd = having, crowd

    def __getitem__(self, index: int) -> Example:
        noise = np.random.default_rng(index).integers(0, 255, (40, 40, 3), np.uint8)
        example = dataclasses.replace(super().__getitem__(index), image=noise)
        if index < self._having:
            return example
        if self._crowd:
            return dataclasses.replace(example, crowd=np.ones(1, np.bool_))
        return example.select(np.zeros(1, np.bool_))


def found(source):
    return [(one.kind, one.reason, one.note) for one in examine(source).defects]


def test_a_tenth_of_images_with_objects_is_enough():
    assert found(Sparse(20, having=2)) == []


def test_fewer_are_a_note():
    reason = "only 1 of 20 have an object that is no crowd"
    assert found(Sparse(20, having=1)) == [("no objects", reason, True)]


@pytest.mark.parametrize("crowd", [False, True])
def test_none_is_a_defect_and_crowds_are_no_objects(crowd):
    defect = ("no objects", "none has an object that is no crowd", False)
    assert found(Sparse(3, having=0, crowd=crowd)) == [defect]


def test_names_that_differ_by_their_spelling_alone_are_a_note():
    source = Sparse(10, having=10)
    names = ["hot dog", "Hot_Dog", "dog", "caf\u00e9", "cafe\u0301"]
    source.categories = tuple(map(Category, range(5), names))
    alike = [one for one in examine(source).defects if one.kind == "classes alike"]
    assert [(one.place, one.reason, one.note) for one in alike] == [
        ("class 'Hot_Dog' (id 1)", "reads as 'hot dog' (id 0)", True),
        ("class 'cafe\u0301' (id 4)", "reads as 'caf\u00e9' (id 3)", True),
    ]


def test_a_data_set_of_no_images_is_a_defect():
    assert found(GraySource(0)) == [("no images", "the data set lists none", False)]
