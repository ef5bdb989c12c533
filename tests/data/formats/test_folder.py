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
    (tmp_path / "page.zip").write_text("<html>404</html>")
    with pytest.raises(ValueError, match="page.zip: .* zip file; it is a web page"):
        open_folder(tmp_path / "page.zip")
    with pytest.raises(ValueError, match="data.zip: File is not a zip file"):
        open_folder(tmp_path / "data")


def test_a_file_that_is_broken_in_its_archive_is_an_error_of_reading(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("a.txt", b"what is stored")
    data = (tmp_path / "data.zip").read_bytes()
    (tmp_path / "data.zip").write_bytes(data.replace(b"what is", b"was not"))
    with pytest.raises(OSError, match="broken in the archive: Bad CRC-32"):
        open_folder(tmp_path / "data").read("a.txt")


def archive(path, entries, flags=0):
    """Writes an archive of {entry: content}, and opens its folder."""
    with zipfile.ZipFile(path / "data.zip", "w") as file:
        for entry, content in entries.items():
            file.writestr(entry, content)
    content = bytearray((path / "data.zip").read_bytes())
    content[content.find(b"PK\1\2") + 8] |= flags
    (path / "data.zip").write_bytes(bytes(content))
    return open_folder(path / "data")


@pytest.mark.parametrize(
    "entries",
    [
        {"data/a.jpg": b"A", "__MACOSX/data/._a.jpg": b""},
        {"data/a.jpg": b"A", ".DS_Store": b"", "Thumbs.db": b""},
        {"data/a.jpg": b"A", "README.txt": b"", "LICENSE": b"", "docs/about.pdf": b""},
        {"data\\a.jpg": b"A", "data\\deep\\": b""},
        {"./data/a.jpg": b"A", "data/": b""},
        {"a.jpg": b"A"},
        {"x/y/a.jpg": b"A", "x/notes.md": b""},
        {"data/a.jpg": b"A", "other/b.jpg": b"B"},
    ],
)
def test_archives_of_all_systems_have_the_same_folder(tmp_path, entries):
    folder = archive(tmp_path, entries)
    assert list(folder.names()) == ["a.jpg"] and folder.read("a.jpg") == b"A"


def test_files_of_an_archive_have_their_full_names_too(tmp_path):
    folder = archive(tmp_path, {"images/a.jpg": b"A"})
    assert folder.read("images/a.jpg") == folder.open("a.jpg").read() == b"A"


def test_names_in_utf8_that_are_not_said_to_be_are_read(tmp_path):
    # As macOS writes them: the bytes of é are ├⌐ in the code page of DOS.
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
        file.writestr("??.jpg", b"A")
    content = (tmp_path / "data.zip").read_bytes()
    (tmp_path / "data.zip").write_bytes(content.replace(b"??", "é".encode()))
    assert open_folder(tmp_path / "data").read("é.jpg") == b"A"


def test_an_encrypted_archive_is_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"data.zip: a.jpg is encrypted, unpack it you"
    ):
        archive(tmp_path, {"a.jpg": b"A"}, flags=1)


def test_a_compression_that_is_not_known_is_an_error_of_reading(tmp_path):
    archive(tmp_path, {"a.jpg": b"A"})
    content = bytearray((tmp_path / "data.zip").read_bytes())
    content[content.find(b"PK\1\2") + 10] = 9  # of large archives of Windows
    (tmp_path / "data.zip").write_bytes(bytes(content))
    with pytest.raises(OSError, match="broken in the archive: That compression method"):
        open_folder(tmp_path / "data").read("a.jpg")


def test_a_directory_unpacked_into_one_of_its_name_is_the_inner_one(tmp_path):
    for name in ("data/data/a.jpg", "data/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert list(open_folder(tmp_path / "data").names()) == ["a.jpg"]
    (tmp_path / "data/b.jpg").write_bytes(b"")
    assert list(open_folder(tmp_path / "data").names()) == ["README.md", "b.jpg"]


def test_clutter_is_in_no_directory(tmp_path):
    for name in ("a.jpg", "._a.jpg", ".ipynb_checkpoints/b.jpg", "deep/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = open_folder(tmp_path)
    assert list(folder.names()) == ["a.jpg"]
    assert list(folder.names_below()) == ["a.jpg", "deep/c.jpg"]
