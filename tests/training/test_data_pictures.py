"""The pictures of the training data that a run begins with."""

import numpy as np
import pytest
from PIL import Image

from fpn_jax.data.batching import Batching
from fpn_jax.data.digits.dataset import write_digits
from fpn_jax.data.loader import training_batches
from fpn_jax.data.sources import open_source
from fpn_jax.training.data_pictures import write_data_pictures


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    directory = tmp_path_factory.mktemp("digits") / "1.0.0"
    write_digits(directory, {"train": 8})
    return open_source(str(directory), "train")


def batches_of(source, size: int):
    batching = Batching(batch_size=size, canvas=(320, 320), max_boxes=16, max_errors=0)
    return training_batches(source, batching, seed=0)


@pytest.mark.parametrize("size", [1, 4])
def test_six_images_are_shown_as_the_network_will_see_them(source, tmp_path, size):
    batches = batches_of(source, size)
    write_data_pictures(tmp_path, source, batches)
    first = next(batches)
    batches.close()
    picture = np.asarray(Image.open(tmp_path / "plots" / "training.png"))
    height, width, _ = picture.shape
    assert 1.4 < width / height < 1.6  # three beside each other, in two rows
    # The batches were looked at and not taken: the first image is the first one shown.
    shown = Image.fromarray(picture).crop((0, 0, width // 3, height // 2))
    shown = np.asarray(shown.resize((320, 320)), float)
    difference = np.abs(shown - first["images"][0]).mean()
    others = [np.abs(shown - source[n].image).mean() for n in range(len(source))]
    assert difference < 30 and sum(other < difference + 5 for other in others) == 1
    assert np.asarray(Image.open(tmp_path / "plots" / "labels.png")).std() > 5


def test_pictures_that_are_there_stay(source, tmp_path):
    (tmp_path / "plots").mkdir()
    for name in ("labels", "training"):
        (tmp_path / "plots" / f"{name}.png").write_bytes(b"seen")
    batches = batches_of(source, 1)
    write_data_pictures(tmp_path, source, batches)
    batches.close()
    for path in (tmp_path / "plots").iterdir():
        assert path.read_bytes() == b"seen"
