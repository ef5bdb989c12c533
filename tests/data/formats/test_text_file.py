import pytest
from etils import epath

from fpn_jax.data.formats.text_file import (
    decoded_text,
    listed_names,
    numbered_lines,
    read_text,
    slashed,
)


@pytest.mark.parametrize(
    "data",
    [
        b"a\n\nb\xc3\xa9\n",
        b"\xef\xbb\xbfa\r\n\r\nb\xc3\xa9",
        b"\xff\xfe" + "a\r\n\r\nbé".encode("utf-16-le"),
        b"\xfe\xff" + "a\r\rbé".encode("utf-16-be"),
        b"  a \n \t\n b\xc3\xa9",
    ],
)
def test_marks_line_ends_and_blanks_are_no_part_of_lines(data):
    assert list(numbered_lines(decoded_text(data, "x"))) == [(1, "a"), (3, "bé")]


def test_other_encodings_are_named_with_their_line():
    with pytest.raises(ValueError, match=r"^x: line 2 is no UTF-8 text \(byte 0xe9\)"):
        decoded_text(b"a\ncaf\xe9\n", "x")
    with pytest.raises(ValueError, match="^x: line 3 is no text, it has a zero byte$"):
        decoded_text(b"a\nb\nc\0d", "x")
    with pytest.raises(ValueError, match="^x: a pointer of Git LFS; `git lfs pull`"):
        decoded_text(b"version https://git-lfs.github.com/spec/v1\noid 1\n", "x")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^[^\n]*none.txt: No such file[^\n]*$"):
        read_text(epath.Path(tmp_path / "none.txt"))


def test_names_in_lists_have_slashes_and_no_quotes():
    text = '"a b.jpg"\n./c/d.jpg\n.\\e\\f.jpg\n  it\'s.jpg \n'
    names = ["a b.jpg", "c/d.jpg", "e/f.jpg", "it's.jpg"]
    assert [name for _, name in listed_names(text)] == names
    assert slashed(".\\") == "" and slashed("../a") == "../a"
