"""Images without objects are left out where that is asked for."""

import dataclasses
import pickle

import numpy as np
import pytest

from fpn_jax.data.example import KeypointSpec
from fpn_jax.data.selection import without_empty
from fpn_jax.data.sources import open_source
from tests.support import formats

POINTS = KeypointSpec(names=("nose", "tail"), flip=(0, 1), sigmas=None)


@pytest.fixture(scope="module")
def pairs():
    """Twelve scenes: the first is empty, the second has a crowd only."""
    pairs = [p for p in formats.miniature(20) if len(p[0].labels)][:12]
    (first, file), (second, other) = pairs[:2]
    only_crowd = dataclasses.replace(
        second.select(np.array([0])), crowd=np.array([True])
    )
    pairs[:2] = (first.select(np.array([], int)), file), (only_crowd, other)
    for _, (example, _) in zip(range(10), pairs[2:], strict=True):
        assert not example.crowd.all()
    return pairs


@pytest.fixture(scope="module")
def place(pairs, tmp_path_factory):
    place = tmp_path_factory.mktemp("selection") / "coco"
    formats.write_coco(place, pairs)
    return place


def test_examples_without_an_object_of_its_own_are_left_out(place, pairs):
    source = open_source(str(place), "train")
    selection = pickle.loads(pickle.dumps(without_empty(source)))
    assert len(source) == 12
    expected = [example.image_id for example, _ in pairs[2:]]
    assert [example.image_id for example in selection] == expected
    sizes = [example.image.shape[:2] for example, _ in pairs[2:]]
    np.testing.assert_array_equal(selection.image_sizes, sizes)
    assert selection.categories == source.categories


def test_with_keypoints_one_of_an_object_must_be_annotated(pairs, tmp_path):
    pointed = []
    for number, (example, file) in enumerate(pairs):
        points = np.zeros((len(example.labels), 2, 3), np.float32)
        points[:, 1] = 5, 5, number % 3  # 0: not annotated
        pointed.append(
            (dataclasses.replace(example, keypoints=points, keypoint_spec=POINTS), file)
        )
    formats.write_coco(tmp_path / "coco", pointed)
    source = open_source(str(tmp_path / "coco"), "train")
    found = [example.name for example in without_empty(source, keypoints=True)]
    expected = [e.name for n, (e, _) in enumerate(pairs) if n >= 2 and n % 3]
    assert found == expected


def test_a_source_that_has_none_or_does_not_know_says_so(place, pairs, tmp_path):
    with pytest.raises(ValueError, match="no image with an object with keypoints"):
        without_empty(open_source(str(place), "train"), keypoints=True)
    formats.write_coco(tmp_path / "coco", pairs[:2])
    with pytest.raises(ValueError, match="no image with an object$"):
        without_empty(open_source(str(tmp_path / "coco"), "train"))
    with pytest.raises(ValueError, match="digits/validation does not know which"):
        without_empty(open_source("digits", "validation"))
