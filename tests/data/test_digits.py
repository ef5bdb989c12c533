import pytest

from fpn_jax.data import digits
from fpn_jax.data.digits import prepare_digits


def _write_little(directory, splits):
    directory.mkdir()
    (directory / "content").write_text(str(splits))


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


def test_a_preparation_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(directory, splits):
        _write_little(directory, splits)
        raise OSError("disk full")

    monkeypatch.setattr(digits, "write_digits", fail)
    with pytest.raises(OSError, match="disk full"):
        prepare_digits(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    monkeypatch.setattr(digits, "write_digits", _write_little)
    assert (prepare_digits(tmp_path) / "content").exists()


def test_of_two_preparations_at_once_the_first_to_finish_wins(tmp_path, monkeypatch):
    def while_another_finishes(directory, splits):
        monkeypatch.setattr(digits, "write_digits", _write_little)
        prepare_digits(tmp_path)
        directory.mkdir()
        (directory / "late").touch()

    monkeypatch.setattr(digits, "write_digits", while_another_finishes)
    place = prepare_digits(tmp_path)
    assert [path.name for path in place.iterdir()] == ["content"]
    assert list(place.parent.iterdir()) == [place]
