"""What a start that fails leaves behind."""

import pytest

from fpn_jax.training.failed_start import nothing_left


def fail(run):
    with pytest.raises(RuntimeError), nothing_left(run):
        (run / "checkpoints").mkdir(parents=True)
        (run / "config.json").write_text("{}")
        raise RuntimeError


def test_a_new_directory_is_gone(tmp_path):
    fail(tmp_path / "run-1")
    assert not (tmp_path / "run-1").exists()


def test_a_directory_of_the_users_keeps_what_was_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    fail(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("record", ["checkpoints/2/state", "metrics.jsonl"])
def test_a_run_that_has_done_steps_stays(tmp_path, record):
    with pytest.raises(RuntimeError), nothing_left(tmp_path / "run"):
        path = tmp_path / "run" / record
        path.parent.mkdir(parents=True)
        path.write_text('{"step": 1}\n')
        raise RuntimeError
    assert path.exists()
