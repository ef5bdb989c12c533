import re

import pytest

from fpn_jax.data.formats.voc_file import read_voc_file

BOX = "<bndbox><xmin>1</xmin><ymin>11</ymin><xmax>60</xmax><ymax>25</ymax></bndbox>"


def xml(objects="", size="<width>60</width><height>40</height>", filename="a.jpg"):
    return (
        f"<annotation><filename>{filename}</filename><size>{size}</size>{objects}"
        "</annotation>"
    ).encode()


def thing(name="dog", box=BOX, difficult=""):
    return f"<object><name>{name}</name>{difficult}{box}</object>"


def test_a_file_by_hand():
    file = read_voc_file(b"\xef\xbb\xbf" + xml(thing("\n big dog ")), "a")
    assert (file.stem, file.image, file.size) == ("a", "a.jpg", (40, 60))
    (found,) = file.objects
    assert (found.name, found.difficult) == ("big dog", False)
    assert found.corners == (0, 10, 60, 25) and not found.problem


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("<width>60.0</width><height> 40 </height>", (40, 60)),
        ("<width>0</width><height>0</height>", None),
        ("<width>60</width>", None),
        ("<width>60</width><height>tall</height>", None),
        ("<width>60</width><height>40.5</height>", None),
        ("<width>60</width><height>-40</height>", None),
    ],
)
def test_a_size_that_is_none_is_not_known(size, expected):
    assert read_voc_file(xml(size=size), "a").size == expected


@pytest.mark.parametrize(
    ("text", "difficult"),
    [("0", False), ("1", True), (" True ", True), ("Unspecified", False), ("", False)],
)
def test_what_is_not_true_is_not_difficult(text, difficult):
    data = xml(thing(difficult=f"<difficult>{text}</difficult>"))
    assert read_voc_file(data, "a").objects[0].difficult is difficult


@pytest.mark.parametrize("before", [b"\n", b" \r\n", b"\xef\xbb\xbf\n"])
def test_blanks_before_the_declaration_do_no_harm(before):
    declared = before + b'<?xml version="1.0" encoding="utf-8"?>\n' + xml(thing())
    assert [one.name for one in read_voc_file(declared, "a").objects] == ["dog"]


def test_names_of_windows_have_slashes():
    assert read_voc_file(xml(filename=" C:\\x\\a.jpg "), "a").image == "C:/x/a.jpg"


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (thing(""), "no <name>"),
        (thing("traffic\nlight"), "name 'traffic\\nlight' has a line break"),
        (thing(box=""), "no <bndbox>"),
        (thing(box="<robndbox/>"), "no <bndbox>, but <robndbox>"),
        (thing(box="<bndbox></bndbox>"), "no <bndbox><xmin>"),
        (thing(box=BOX.replace("11", "top")), "ymin is top, must be a finite number"),
        (thing(box=BOX.replace("11", "nan")), "ymin is nan, must be a finite number"),
        (thing(box=BOX.replace("11", "35")), "ymin is 35 and ymax 25, must be the sm"),
    ],
)
def test_a_wrong_object_leaves_the_others_as_they_are(wrong, problem):
    first, second = read_voc_file(xml(wrong + thing()), "a").objects
    assert problem in first.problem and first.number == 1
    assert not second.problem and second.number == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<annotation>", "no XML: no element found"),
        (b"", "no XML: no element found"),
        (b"<html></html>", "its root is <html>, must be <annotation>"),
        (b"<annotation>\n<filename>caf\xe9", "line 2 is no UTF-8 text"),
        (b'<?xml version="1.0" encoding="none"?><annotation/>', "no XML: unknown enc"),
    ],
)
def test_what_is_no_such_file_is_told(data, reason):
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}"):
        read_voc_file(data, "a")


@pytest.mark.parametrize(("code", "name"), [("latin-1", "café"), ("gb2312", "猫")])
def test_a_declared_encoding_is_read(code, name):
    text = f'<?xml version="1.0" encoding="{code}"?>' + xml(thing(name)).decode()
    assert read_voc_file(text.encode(code), "a").objects[0].name == name
