"""Steps that no memory has room for."""

import pytest

from fpn_jax.training import memory
from fpn_jax.training.config import Config, DataConfig
from fpn_jax.training.memory import check_memory


def config(side: int) -> Config:
    return Config(data=DataConfig(canvas=(side, side), batch_size=8))


def test_the_digits_fit_and_nothing_is_traced(monkeypatch):
    monkeypatch.setattr(memory, "_kept_bytes", None)
    check_memory(config(320))


def test_pixels_beyond_the_memory_are_refused_from_their_number(monkeypatch):
    # 8 images, or 1 for each of 8 devices, of 1e12 pixels in three colors of 4 bytes.
    monkeypatch.setattr(memory, "_kept_bytes", None)
    with pytest.raises(MemoryError, match="a step needs (12|96)000.0 GB, there are"):
        check_memory(config(1_000_000))


def test_features_beyond_the_memory_are_refused_from_their_shapes(monkeypatch):
    monkeypatch.setattr(memory, "device_bytes", lambda: 1e6)
    monkeypatch.setattr(memory, "check_fits", seen := [].append)
    check_memory(config(320))
    pixels, kept = seen.__self__
    # The digits' detector keeps 38 MB of an image of 1.2 MB; half of it counts.
    assert kept == pytest.approx(pixels / 1.2288 * 38.0 / 2, rel=0.05)
