"""Figures of a detector that looks at images in its own way; see test_one_road.py."""

import logging

import numpy as np
import pytest

from fpn_jax.data.example import UnreadableImage
from fpn_jax.evaluation.coco import BOXES
from fpn_jax.inference import load
from fpn_jax.inference.scoring import score
from tests.support.random_run import CATEGORIES, directory_of, picture, two_stage


class Examples:
    """Two pictures, of which the second cannot be read."""

    def __len__(self):
        return 2

    def __getitem__(self, number):
        if number == 1:
            raise UnreadableImage("1.png: broken")
        image = picture(60, 90)
        return type("Example", (), {"image_id": 7, "image": image})


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return load(directory_of(two_stage(), tmp_path_factory))


def truth(found) -> dict:
    """What was found in the first picture, and an object in the second."""
    rows = [row | {"area": 100.0, "iscrowd": 0} for row in found.to_coco(7)]
    rows.append(rows[0] | {"image_id": 8})
    return {
        "images": [{"id": n, "height": 60, "width": 90} for n in (7, 8)],
        "annotations": [row | {"id": n} for n, row in enumerate(rows, 1)],
        "categories": [category._asdict() for category in CATEGORIES],
    }


def test_objects_of_an_image_that_cannot_be_read_are_missed(detector, caplog):
    found = detector(picture(60, 90))
    with caplog.at_level(logging.WARNING):
        figures, results, read = score(detector, Examples(), truth(found), [BOXES])
    assert read == {7} and "1.png: broken" in caplog.text
    assert {row["image_id"] for row in results} == read
    number = np.sum(found.labels == found.labels[0])
    expected = number / (number + 1)  # recall of the class that has one more
    assert figures["AR@100"] == pytest.approx(expected)
