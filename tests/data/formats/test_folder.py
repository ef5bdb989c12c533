import pickle
import zipfile

import pytest

from fpn_jax.data.formats.folder import open_folder


@pytest.fixture(params=["directory", "archive", "archive with a folder", "bare"])
def folder(request, tmp_path):
    """Returns a.txt and deep/b.txt in each kind of folder."""
    files = {"a.txt": b"A", "deep/b.txt": b"B"}
    if request.param == "directory":
        (tmp_path / "data" / "deep").mkdir(parents=True)
        for name, data in files.items():
            (tmp_path / "data" / name).write_bytes(data)
        return open_folder(tmp_path / "data")
    top = "data/" if request.param == "archive with a folder" else ""
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(top + name, data)
    # With or without its ending.
    return open_folder(tmp_path / ("data" if request.param == "bare" else "data.zip"))


def test_every_kind_of_folder_reads_the_same(folder):
    for one in (folder, pickle.loads(pickle.dumps(folder))):
        assert list(one.names()) == ["a.txt"]
        assert one.read("a.txt") == b"A" and one.read("deep/b.txt") == b"B"
        with pytest.raises(FileNotFoundError):
            one.read("b.txt")


def test_what_is_neither_is_none_and_a_broken_archive_is_named(tmp_path):
    assert open_folder(tmp_path / "data") is None
    (tmp_path / "data.zip").write_bytes(b"PK broken")
    with pytest.raises(ValueError, match="data.zip: File is not a zip file"):
        open_folder(tmp_path / "data")


def test_a_file_that_is_broken_in_its_archive_is_an_error_of_reading(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("a.txt", b"what is stored")
    data = (tmp_path / "data.zip").read_bytes()
    (tmp_path / "data.zip").write_bytes(data.replace(b"what is", b"was not"))
    with pytest.raises(OSError, match="broken in the archive: Bad CRC-32"):
        open_folder(tmp_path / "data").read("a.txt")
