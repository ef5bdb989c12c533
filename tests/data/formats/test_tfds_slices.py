"""Splits in the words of TFDS, read and refused before anything is opened."""

import pytest
import tensorflow_datasets as tfds

from fpn_jax.data.digits import dataset
from fpn_jax.data.digits.dataset import check_drawn
from fpn_jax.data.formats.splits import NoSuchSplit
from fpn_jax.data.formats.tfds_slices import found_slices
from fpn_jax.data.sources import open_source

THERE = {
    name: tfds.core.SplitInfo(
        name=name, shard_lengths=sizes, num_bytes=0, filename_template=None
    )
    for name, sizes in {"train": [60, 40], "validation": [20]}.items()
}


@pytest.mark.parametrize(
    ("split", "found"),
    [
        ("train", "train"),
        ("val", "validation"),
        ("train[:10]", "train[:10]"),
        ("train[10%:20%]", "train[10%:20%]"),
        ("train[-1.5%:]", "train[-1.5%:]"),
        ("train[1shard:]", "train[1shard:]"),
        ("train[:]", "train"),
        (" train[:50%] + val ", "train[:50%]+validation"),
    ],
)
def test_slices_are_taken_with_the_names_of_the_data(split, found):
    assert found_slices(split, THERE) == found


@pytest.mark.parametrize(
    "split",
    [
        *("train[:", "train[:1%", "train]", "train[]", "train[5]", "train[abc:]"),
        *("train[1:2:3]", "train[1e3:]", "train[:1%]x", "train[:1][:2]", "[:1]]"),
    ],
)
def test_what_is_no_slice_is_refused_with_what_is(split):
    with pytest.raises(NoSuchSplit) as error:
        found_slices(split, THERE)
    assert str(error.value).startswith(f"split: {split!r} is neither a name nor")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("split", ["", "train+", "[:10]", "trian[:10]", "all[:5]"])
def test_a_name_that_is_not_there_is_refused_with_those_that_are(split):
    with pytest.raises(NoSuchSplit, match="must be one of 'train', 'validation'"):
        found_slices(split, THERE)


@pytest.mark.parametrize("split", ["train[101:]", "train[:150%]", "train+val[-21:]"])
def test_a_slice_beyond_the_data_says_how_much_there_is(split):
    with pytest.raises(NoSuchSplit) as error:
        found_slices(split, THERE)
    assert str(error.value) == (
        f"split: {split!r} reaches beyond the examples: train has 100, "
        "validation has 20"
    )


@pytest.mark.parametrize(
    "split", ["train[:0]", "train[100:]", "train[60%:40%]", "val[:1%]", "train+val[:0]"]
)
def test_an_empty_slice_is_refused(split):
    with pytest.raises(NoSuchSplit, match="holds no example: train has 100, valid"):
        found_slices(split, THERE)


@pytest.mark.parametrize("split", ["train[:", "trian", "train[4001:]"])
def test_no_digits_are_drawn_for_a_split_that_they_have_not(split, monkeypatch):
    def draw(*arguments):
        raise AssertionError("drawn")

    monkeypatch.setattr(dataset, "write_tfds", draw)
    monkeypatch.setattr("fpn_jax.data.sources.prepare_digits", draw)
    with pytest.raises(NoSuchSplit, match="split"):
        open_source("digits", split)
    check_drawn("train[:4000]+val")
