"""Files held against what is published of them."""

import dataclasses
import hashlib

import pytest

from fpn_jax.weights.models.checks import file_fault, sha256, size_fault
from fpn_jax.weights.models.table import MODELS
from tests.support.real import real

ENTRY = MODELS["resnet50"]


def test_sizes_are_compared_as_they_are_published():
    # 97.781 MiB: between 97.7804 and 97.7816, times 2**20.
    assert size_fault(ENTRY, 102_530_333) is None  # torchvision's file
    assert size_fault(ENTRY, 102_528_000) == "it has 97.778 MiB, must have 97.781"
    assert size_fault(MODELS["yolox_s"], 1) is None


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_digest_is_compared_by_the_digits_that_are_published(tmp_path, kind):
    file = tmp_path / "a.pth"
    file.write_bytes(b"weights")
    digits = hashlib.new(kind, b"weights").hexdigest()
    entry = dataclasses.replace(ENTRY, mebibytes=None, digest=f"{kind}:{digits[:6]}")
    assert file_fault(entry, file) is None
    file.write_bytes(b"Weights")
    wrong = hashlib.new(kind, b"Weights").hexdigest()[:6]
    assert file_fault(entry, file) == (
        f"its {kind.upper()} begins with {wrong}, must begin with {digits[:6]}"
    )
    assert sha256(file) == hashlib.sha256(b"Weights").hexdigest()


@pytest.mark.real
def test_torchvisions_own_file_is_the_published_one():
    file = real("mobilenet_v2-b0353104.pth")
    assert file_fault(MODELS["mobilenet_v2"], file) is None
    assert "SHA256 begins with b0353104" in file_fault(
        dataclasses.replace(MODELS["mobilenet_v2"], digest="sha256:b0353105"), file
    )


@pytest.mark.real
def test_a_whole_file_of_torch_needs_no_digest_and_a_damaged_one_is_seen(tmp_path):
    content = real("yolox_nano_coco.pth").read_bytes()
    file = tmp_path / "yolox_nano.pth"
    file.write_bytes(content)
    assert file_fault(MODELS["yolox_nano"], file) is None
    for place in (1, len(content) // 2, len(content) - 20):
        damaged = bytearray(content)
        damaged[place] ^= 1
        file.write_bytes(damaged)
        assert file_fault(MODELS["yolox_nano"], file) is not None
    file.write_bytes(content[:-1])
    assert "not written it whole" in file_fault(MODELS["yolox_nano"], file)
