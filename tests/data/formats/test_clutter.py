import pytest

from fpn_jax.data.formats.clutter import is_clutter


@pytest.mark.parametrize(
    "name",
    [
        *("__MACOSX/train/._a.jpg", "train/.DS_Store", "._a.xml", "Thumbs.db"),
        *("train/.ipynb_checkpoints/a-checkpoint.jpg", "x/desktop.ini", "@eaDir/a.jpg"),
        *("Network Trash Folder/a.jpg", "#snapshot/a.jpg", "$RECYCLE.BIN/a.jpg"),
    ],
)
def test_files_of_systems_and_tools_are_clutter(name):
    assert is_clutter(name)


@pytest.mark.parametrize("name", ["a.jpg", "../train/a.jpg", "./a.jpg", "a.b/_c.jpg"])
def test_files_of_people_are_none(name):
    assert not is_clutter(name)
