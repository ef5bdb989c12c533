import numpy as np
import pytest

from fpn_jax.data.digits import dataset as digits
from fpn_jax.data.digits.dataset import prepare_digits
from fpn_jax.data.digits.scenes import draw_scene, load_material


def _write_little(directory, splits):
    directory.mkdir()
    (directory / "content").write_text(str(splits))
    return directory


def test_prepare_writes_once(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "write_digits", _write_little)
    place = prepare_digits(tmp_path)
    assert [path.name for path in place.iterdir()] == ["content"]
    monkeypatch.delattr(digits, "write_digits")  # a second call would fail
    assert prepare_digits(str(tmp_path)) == place


def test_the_first_use_says_in_one_line_why_it_takes_time(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(digits, "write_digits", _write_little)
    place = prepare_digits(tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"preparing the digits in {place}")
    prepare_digits(tmp_path)
    assert capsys.readouterr().err == ""


def test_the_default_directory_is_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "write_digits", _write_little)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert prepare_digits().is_relative_to(tmp_path / "fpn_jax")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert prepare_digits().is_relative_to(tmp_path / "home" / ".cache" / "fpn_jax")


def test_another_drawing_is_another_version():
    # Drawn scenes are kept by version, from clone to clone: where this fails, raise it.
    scene = draw_scene(load_material("validation"), "validation", 0)
    assert digits._VERSION == "1.3.0"
    assert scene.labels.tolist() == [7, 3, 3, 9, 5, 9, 7, 3]
    assert scene.boxes[0].tolist() == [149, 20, 224, 135]
    assert scene.boxes[-1].tolist() == [160, 173, 168, 187]
    np.testing.assert_allclose(scene.image.mean((0, 1)), [23.7, 73.7, 67.1], atol=0.1)
    assert scene.image.std() == pytest.approx(46.9, abs=0.1)
    assert scene.masks[:3].sum((1, 2)) == pytest.approx([4745, 3818, 1935], abs=5)
