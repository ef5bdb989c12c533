"""Roboflow's exports of one data set are the same data, whichever form they have."""

import numpy as np
import pytest

from fpn_jax.data.sources import open_source
from tests.support.roboflow import FORMS, NAMES, SPLITS, draw


@pytest.fixture(scope="module", params=FORMS)
def export(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    FORMS[request.param](root)
    return root


def test_every_split_is_read_as_it_comes(export):
    for split, ours in (("train", "train"), ("valid", "validation"), ("test", "test")):
        source = open_source(str(export), ours)
        assert [category.name for category in source.categories] == [*NAMES]
        assert len(source) == SPLITS[split]
        drawn = {picture.name: picture.objects for picture in draw(split)}
        for number in range(len(source)):
            example = source[number]
            objects = drawn.pop(example.name.rpartition("/")[2])
            assert example.labels.tolist() == [label for label, _ in objects]
            boxes = np.array([box for _, box in objects], np.float32)
            # Shares of YOLO's lines go back to pixels in float32.
            np.testing.assert_allclose(example.boxes, boxes, atol=1e-3)
        assert not drawn
