import shutil

import cv2
import numpy as np
import pytest

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.formats.voc import is_voc, open_voc

OBJECT = """<object><name>dog</name>{difficult}<bndbox><xmin>1</xmin>
<ymin>{ymin}</ymin><xmax>60</xmax><ymax>25</ymax></bndbox></object>"""
FILE = """<annotation><filename>{name}.png</filename><size><width>60</width>
<height>40</height><depth>3</depth></size>{objects}</annotation>"""


def write(folder, name, objects):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.xml").write_text(FILE.format(name=name, objects=objects))
    cv2.imwrite(str(folder / f"{name}.png"), np.zeros((40, 60, 3), np.uint8))


def thing(ymin=11, difficult="<difficult>0</difficult>"):
    return OBJECT.format(ymin=ymin, difficult=difficult)


def test_a_file_is_read_by_hand(tmp_path):
    hard = thing(difficult="<difficult>1</difficult>").replace("dog", "cat")
    write(tmp_path / "train", "2007_000027", thing() + hard + thing(difficult=""))
    write(tmp_path / "valid", "a", thing().replace("dog", "ant"))
    source = open_voc(tmp_path, "train")
    # Pixels 1 … 60 and 11 … 25 are what lies between 0 and 60, 10 and 25.
    assert source[0].boxes.tolist() == [[0, 10, 60, 25]] * 3
    assert source[0].crowd.tolist() == [False, True, False]
    assert source[0].areas.tolist() == [900] * 3
    assert source[0].image_id == 2007000027
    # The same labels in all splits.
    assert source.categories == ((0, "ant"), (1, "cat"), (2, "dog"))
    assert source[0].labels.tolist() == [2, 1, 2]
    assert open_voc(tmp_path, "validation")[0].image_id == 1


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (thing(ymin=26 + 9), r"object 1 of a.xml \(a.png\): ymin is 35 and ymax 25"),
        (thing(ymin="nan"), "object 1 of a.xml .*: ymin is nan, must be a finite"),
        (thing(ymin=""), r"object 1 of a.xml \(a.png\): no <bndbox><ymin>$"),
        (thing().replace("dog", ""), r"object 1 of a.xml \(a.png\): no <name>"),
        (thing(51).replace("25", "55"), "object 1 of a.xml .* outside of 60 x 40"),
        ("<object>", "a.xml: no XML: mismatched tag"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(tmp_path, objects, message):
    write(tmp_path / "train", "a", objects)
    with pytest.raises(ValueError, match=rf"^[^\n]*1 problems: {message}[^\n]*$"):
        open_voc(tmp_path, "train")


def test_a_broken_file_leaves_the_others_as_they_are(tmp_path):
    for name, objects in [("a", thing()), ("b", "<object>"), ("c", thing("top"))]:
        write(tmp_path / "train", name, objects)
    (tmp_path / "train/._a.xml").write_bytes(b"\0\5\26\7")
    source = open_voc(tmp_path, "train", strict=False)
    assert [defect.place for defect in source.defects] == ["b.xml", "object 1 of c.xml"]
    assert [len(one.boxes) for one in source] == [1, 0]
    # Another split is read as if there were none.
    write(tmp_path / "valid", "d", thing())
    assert len(open_voc(tmp_path, "validation")) == 1


def test_a_size_that_is_not_stated_is_the_images(tmp_path):
    write(tmp_path / "train", "a", thing())
    path = tmp_path / "train/a.xml"
    path.write_text(path.read_text().replace("60</width>", "0</width>"))
    source = open_voc(tmp_path, "train")
    assert source.image_sizes.tolist() == [[40, 60]]
    assert source[0].boxes.tolist() == [[0, 10, 60, 25]]


@pytest.fixture
def challenge(tmp_path):
    """Writes a set of a data set of `my photo 1` and `b` as the challenge has it."""
    for name in ("my photo 1", "b"):
        write(tmp_path / "Annotations", name, thing())
    (tmp_path / "Annotations").joinpath("x.xml").write_text("<annotation>")
    (tmp_path / "JPEGImages").mkdir()
    for image in (tmp_path / "Annotations").glob("*.png"):
        image.rename(tmp_path / "JPEGImages" / image.name)
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)

    def challenge(lines, strict=True):
        (sets / "train.txt").write_bytes(lines)
        (sets / "._train.txt").write_bytes(b"\0")
        return open_voc(tmp_path, "train", strict=strict)

    return challenge


@pytest.mark.parametrize(
    "lines",
    [
        b"my photo 1\nb\n",
        b"\xef\xbb\xbfmy photo 1\r\n b \r\n\r\n",
        b"my photo 1  1\nb -1\n",
        b"my photo 1\t1\nb\t-1\n",
        b"my photo 1.png\nJPEGImages\\b.png\n",
        b"my photo 1\nb\nb\n",
    ],
)
def test_a_set_lists_names_in_the_ways_of_tools(challenge, lines):
    assert [one.name for one in challenge(lines)] == ["my photo 1.png", "b.png"]


def test_both_forms_of_an_accent_are_one_name(tmp_path):
    composed, apart = "caf\u00e9", "cafe\u0301"
    write(tmp_path / "Annotations", apart, thing())
    (tmp_path / "JPEGImages").mkdir()
    image = tmp_path / "Annotations" / f"{apart}.png"
    image.rename(tmp_path / "JPEGImages" / f"{composed}.png")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text(composed)
    (example,) = open_voc(tmp_path, "train")
    assert example.name == f"{composed}.png" and len(example.boxes) == 1


def test_names_that_a_set_repeats_are_a_note(challenge, caplog):
    (note,) = challenge(b"b\nmy photo 1\nb\n").defects
    assert note.note and note.place == "names of train.txt"
    assert note.reason == "1 are there again, and are taken once: 'b'"
    assert str(note) in caplog.text


def test_objects_of_an_image_that_cannot_be_read_are_kept_to_be_missed(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "train", name, thing())
    path = tmp_path / "train/a.xml"
    path.write_text(path.read_text().replace("60</width>", "0</width>"))
    (tmp_path / "train/a.png").write_bytes(b"none")
    source = open_voc(tmp_path, "train")
    assert source.truth(0).xywh.tolist() == [[0, 10, 60, 15]]
    with pytest.raises(UnreadableImage, match=r"a\.png: not a readable image \(4 byt"):
        source[0]


def test_lines_of_a_set_without_annotations_are_named(challenge, tmp_path):
    with pytest.raises(
        ValueError, match="1 problems: line 2 of train.txt: no none 1.xml"
    ):
        challenge(b"b\nnone 1\n")
    source = challenge(b"b\nx\nnone 1\n", strict=False)
    assert [defect.place for defect in source.defects] == [
        "x.xml",
        "line 3 of train.txt",
    ]
    with pytest.raises(ValueError, match="train.txt: line 1 is no UTF-8 text"):
        challenge(b"caf\xe9\n")
    with pytest.raises(ValueError, match="train lists no images"):
        challenge(b"\n")
    shutil.rmtree(tmp_path / "ImageSets")
    with pytest.raises(ValueError, match="ImageSets/Main has no train.txt"):
        open_voc(tmp_path, "train")


def test_folders_of_tools_are_no_splits(tmp_path):
    for folder in (".idea", "__MACOSX"):
        write(tmp_path / folder, "workspace", "")
    assert not is_voc(tmp_path, "train")
    write(tmp_path / "train", "a", thing())
    with pytest.raises(ValueError, match="one of 'train', got 'test'"):
        open_voc(tmp_path, "test")
