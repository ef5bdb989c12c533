"""A path that leads to no run is told with what it is and what helps."""

from pathlib import Path

import pytest

from fpn_jax.training.config_file import read_tree

CONVERT = "`fpn-jax convert"


@pytest.mark.parametrize(
    "run, said",
    [
        ("https://a.b/model.pth", f"is an address; download the file, then {CONVERT}"),
        (Path("https://a.b/model.pth"), "is an address; download the file"),
        ("s3://bucket/runs/a", "is an address"),
        ("model.pth", f"is a file, .*; {CONVERT} torchvision MODEL model.pth OUT`"),
        ("notes.txt", "is a file, must be the directory of a run$"),
        ("runs/a/config.json", "is a file, .* of a run, which is 'runs/a'$"),
        ("runs/a/checkpoints/10", "is inside of a run; give '.*/runs/a'$"),
        ("runs", "is a folder of runs; give one of them: a, b$"),
    ],
)
def test_the_line_says_what_a_path_is(tmp_path, monkeypatch, run, said):
    monkeypatch.chdir(tmp_path)
    for name in ("model.pth", "notes.txt"):
        (tmp_path / name).write_text("")
    for name in ("a", "b"):
        (tmp_path / "runs" / name / "checkpoints" / "10").mkdir(parents=True)
        (tmp_path / "runs" / name / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=f"^run: [^\n]*{said}"):
        read_tree(run)


def test_an_empty_folder_and_none_at_all_are_no_run(tmp_path):
    with pytest.raises(ValueError, match="^run: no config.json in '.*'; not a run.$"):
        read_tree(tmp_path)
    with pytest.raises(ValueError, match="^run: no folder '.*none'; not a run.$"):
        read_tree(tmp_path / "none")
