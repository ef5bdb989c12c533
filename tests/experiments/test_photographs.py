"""The picture of photographs beside each other."""

from importlib import resources

import cv2
import numpy as np
import pytest

from experiments import photographs
from fpn_jax import convert
from tests.support.real import real


@pytest.mark.real
def test_photographs_stand_at_one_height_with_what_was_found(tmp_path):
    weights = str(real("yolox_nano_coco.pth"))
    run, out = str(tmp_path / "nano"), tmp_path / "picture.png"
    assert convert.main(["yolox", "yolox_nano", weights, run]) == 0
    images = resources.files("sklearn.datasets") / "images"
    words = [run, str(out), str(images / "china.jpg"), str(images / "flower.jpg")]
    pictures = []
    for threshold in ("0.3", "1.0"):
        options = ["--height", "100", "--score-threshold", threshold]
        assert photographs.main([*words, *options]) == 0
        pictures.append(cv2.imread(str(out)))
    found, nothing = pictures
    # Both are 640 x 427: 150 x 100, and 8 white pixels between them.
    assert found.shape == nothing.shape == (100, 308, 3)
    assert (nothing[:, 150:158] == 255).all()
    # Nothing of China has a class of COCO; the flower is taken for an orange.
    assert (found[:, :150] == nothing[:, :150]).all()
    assert np.any(found[:, 158:] != nothing[:, 158:])
