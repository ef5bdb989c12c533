"""Data sets in a bucket, for which a file system in memory stands."""

import sys

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from fpn_jax.data.batching import Batching
from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.loader import Changes, training_batches
from fpn_jax.data.sources import open_source
from fpn_jax.data.transforms import ScaleJitter
from tests.support import formats
from tests.support.formats import FORMS


class Bucket(MemoryFileSystem):
    """What epath takes for Google's storage."""

    protocol = ("gs", "gcs")

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix("gs://"))


@pytest.fixture(scope="module")
def bucket():
    usual = fsspec.registry.get("gcs")
    fsspec.register_implementation("gcs", Bucket, clobber=True)
    yield Bucket()
    Bucket.store.clear()
    if usual is not None:
        fsspec.register_implementation("gcs", usual, clobber=True)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_from_a_bucket(form, bucket, tmp_path):
    write, fields = FORMS[form]
    if form == "coco":
        write(tmp_path / form, formats.miniature(8))
    else:
        (tmp_path / form).mkdir()
        write(tmp_path / form, formats.miniature(8), "val")
    bucket.put(str(tmp_path / form), f"gs://bucket/{form}", recursive=True)
    masks = "masks" in fields
    local, remote = (
        open_source(root, "val", masks=masks)
        for root in (str(tmp_path / form), f"gs://bucket/{form}")
    )
    assert len(remote) == len(local) == 8
    assert remote.name.startswith("gs://bucket/")
    for ours, theirs in zip(remote, local, strict=True):
        for field in ("image", "boxes", "labels", *(["masks"] if masks else [])):
            np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))
    batches = training_batches(
        remote,
        Batching(batch_size=4, canvas=(64, 96), max_boxes=12, max_errors=0),
        changes=Changes((ScaleJitter((64, 96), 1, 1),)),
        seed=0,
    )
    assert next(batches)["images"].any()
    batches.close()


def test_a_file_that_leaves_the_bucket_is_unreadable_and_named(bucket, tmp_path):
    pairs = formats.miniature(2)
    formats.write_coco(tmp_path / "coco", pairs)
    bucket.put(str(tmp_path / "coco"), "gs://bucket/gone", recursive=True)
    source = open_source("gs://bucket/gone", "val")
    bucket.rm(f"gs://bucket/gone/{pairs[1][0].name}")
    with pytest.raises(UnreadableImage, match=f"gs://bucket/gone/{pairs[1][0].name}"):
        source[1]


def test_what_is_missing_for_a_bucket_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError, match="'s3://bucket/coco': Install s3fs"):
        open_source("s3://bucket/coco", "val")
