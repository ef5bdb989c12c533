"""What a run is told of its training data."""

import json

import flax.linen as nn
import pytest

from fpn_jax.training.config import Config, DataConfig
from fpn_jax.training.data import check_splits, training_source


class Measured(nn.Module):
    """A detector by what it is measured by: nothing else of it is asked for."""

    measures: tuple[str, ...]
    num_classes: int = 1

    def __call__(self, images, sizes, *, train=False): ...

    def loss(self, images, sizes, targets, *, keys, train=False): ...

    def detect(self, images, sizes): ...


def test_keypoints_that_a_flip_cannot_pair_are_said_where_they_are_learnt(
    tmp_path, caplog
):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 9, "width": 9}],
        "categories": [{"id": 1, "name": "cat", "keypoints": ["left_eye", "nose"]}],
        "annotations": [],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "a.jpg").touch()
    data = DataConfig(source=str(tmp_path), train="train")
    training_source(Config(model=Measured(("boxes",)), data=data))
    assert caplog.messages == []
    training_source(Config(model=Measured(("boxes", "keypoints")), data=data))
    (message,) = caplog.messages
    assert "no other side of 'left_eye' was found" in message


def test_a_split_that_the_digits_have_not_is_told_by_its_option():
    check_splits(DataConfig(train="train[:10%]", validation="val"))
    check_splits(DataConfig(source="photos", train="train (1)"))  # tells it itself
    with pytest.raises(ValueError, match=r"^data.train: split: 'train\[:' is neither"):
        check_splits(DataConfig(train="train[:"))
    with pytest.raises(ValueError, match="^data.validation: split must be one of"):
        check_splits(DataConfig(validation="vaildation"))
