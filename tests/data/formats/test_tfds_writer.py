"""A data set that was prepared gives the records and batches that it was made of."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from fpn_jax.data.batching import Batching
from fpn_jax.data.formats.tfds import TfdsSource
from fpn_jax.data.formats.tfds_writer import write_tfds
from fpn_jax.data.loader import Changes, training_batches
from fpn_jax.data.sources import open_source
from fpn_jax.data.transforms import HorizontalFlip, ScaleJitter
from tests.support import formats

FIELDS = ("image_id", "name", "image", "boxes", "labels", "crowd", "areas", "masks")


@pytest.fixture(scope="module")
def pairs():
    return formats.miniature(60)


def write(directory, examples):
    return write_tfds(
        directory,
        {"train": examples},
        name="miniature",
        version="1.0.0",
        description="of the tests",
        categories=formats.CATEGORIES,
        keypoint_spec=None,
        masks=True,
    )


@pytest.fixture(scope="module")
def sources(pairs, tmp_path_factory):
    """Returns the miniature from COCO's files and from a directory of TFDS."""
    root = tmp_path_factory.mktemp("prepared")
    formats.write_coco(root / "coco", pairs)
    return (
        open_source(str(root / "coco"), "train", masks=True),
        TfdsSource(write(root / "1.0.0", pairs), "train", masks=True),
    )


def test_the_records_are_the_same_to_the_bit(sources):
    coco, prepared = sources
    np.testing.assert_array_equal(prepared.image_sizes, coco.image_sizes)
    assert prepared.categories == coco.categories and len(prepared) == len(coco)
    for ours, theirs in zip(prepared, coco, strict=True):
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))


@pytest.mark.parametrize("canvas", [(256, 256), (160, 256)])
def test_the_batches_are_the_same_to_the_bit(sources, canvas):
    def batches(source):
        return training_batches(
            source,
            Batching(
                batch_size=7, canvas=canvas, max_boxes=12, mask_size=28, max_errors=0
            ),
            changes=Changes((HorizontalFlip(), ScaleJitter(canvas, 0.5, 1.5))),
            group_by_aspect=True,
            seed=0,
        )

    ours, theirs = map(batches, sources)
    shapes = set()
    for _ in range(20):  # two epochs and more
        one, other = next(ours), next(theirs)
        shapes.add(one["images"].shape[1:3])
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    ours.close(), theirs.close()
    assert shapes == {canvas, canvas[::-1]}  # some images stand


def test_what_is_written_has_the_features_of_coco_2017(sources, pairs, tmp_path):
    features = tfds.builder_from_directory(write(tmp_path / "a", pairs[:1])).info
    features = features.features["objects"].feature
    assert {"area", "bbox", "id", "is_crowd", "label"} <= set(features)


def test_a_preparation_that_fails_leaves_nothing_behind(tmp_path, pairs):
    def broken():
        yield pairs[0]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "1.0.0", broken())
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "1.0.0", pairs[:1])


def test_of_two_preparations_at_once_the_first_to_finish_wins(tmp_path, pairs):
    def while_another_finishes():
        write(tmp_path / "1.0.0", pairs[:1])
        yield from pairs[1:3]

    place = write(tmp_path / "1.0.0", while_another_finishes())
    assert len(TfdsSource(place, "train")) == 1
    assert list(tmp_path.iterdir()) == [place]
