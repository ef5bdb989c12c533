"""Images that are found under the names that tools wrote."""

import pytest

from fpn_jax.data.formats.file_names import by_any_spelling, ends_of, spellings
from fpn_jax.data.formats.folder import Folder


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("images/a.jpg", "images/a.jpg"),
        ("images\\a.jpg", "images/a.jpg"),
        ("my%20photo.jpg", "my photo.jpg"),
        ("images\\my%20photo.jpg", "images/my photo.jpg"),
        ("C:\\Users\\me\\images\\a.jpg", "a.jpg"),
        ("/elsewhere/images/a.jpg", "a.jpg"),
        ("/elsewhere/images/a.jpg", "images/a.jpg"),
        ("../../media/upload/images/a.jpg", "images/a.jpg"),
        ("train/a.jpg", "a.jpg"),
        ("C:\\photos\\a%20b.JPG", "a b.jpg"),
        ("a.jpeg", "a.JPEG"),
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("x/cafe%CC%81.jpg", "caf\u00e9.jpg"),
        # Names that only look so.
        ("100%.jpg", "100%.jpg"),
        ("a%20b.jpg", "a%20b.jpg"),
        ("back\\slash.jpg", "back\\slash.jpg"),
    ],
)
def test_a_file_is_found_as_it_is_written(tmp_path, written, stored):
    (tmp_path / stored).parent.mkdir(exist_ok=True)
    (tmp_path / stored).write_bytes(b"here")
    assert by_any_spelling(written, Folder(tmp_path).read) == b"here"


def test_a_file_that_is_not_there_is_named_as_it_is_written(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(FileNotFoundError, match=r"images\\\\b%20.jpg"):
        by_any_spelling("images\\b%20.jpg", Folder(tmp_path).read)
    with pytest.raises(NotADirectoryError, match=r"a.jpg/b.jpg"):
        by_any_spelling("a.jpg/b.jpg", Folder(tmp_path).read)


def test_a_whole_path_comes_before_its_ends_and_the_suffix_as_written_before_others():
    assert list(spellings("x\\a%20b.jpg")) == [
        "x\\a%20b.jpg",
        "x/a%20b.jpg",
        "x\\a b.jpg",
        "x/a b.jpg",
        "a%20b.jpg",
        "a b.jpg",
        "x\\a%20b.JPG",
        "x/a%20b.JPG",
        "x\\a b.JPG",
        "x/a b.JPG",
        "a%20b.JPG",
        "a b.JPG",
    ]


def test_the_ends_of_a_path_become_shorter():
    assert list(ends_of("C:/x/a.jpg")) == ["C:/x/a.jpg", "x/a.jpg", "a.jpg"]
    assert list(ends_of("/a.jpg")) == ["/a.jpg", "a.jpg"]
