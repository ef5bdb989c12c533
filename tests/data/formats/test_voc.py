import cv2
import numpy as np
import pytest

from fpn_jax.data.formats.voc import open_voc

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
    assert open_voc(tmp_path, "validation")[0].image_id == 0


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (thing(ymin=26 + 9), r"object 1 of a.xml \(a.png\): bbox .* sizes >= 0"),
        (thing(ymin="nan"), "four finite numbers"),
        (thing(ymin=""), r"train/a.xml: no <bndbox><ymin>$"),
        (thing(ymin="top"), r"train/a.xml: could not convert string to float: 'top'"),
        (thing().replace("dog", ""), "train/a.xml: no <name>"),
        ("<object>", "train/a.xml: mismatched tag"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(tmp_path, objects, message):
    write(tmp_path / "train", "a", objects)
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        open_voc(tmp_path, "train")


def test_an_image_of_the_set_without_annotations_is_named(tmp_path):
    write(tmp_path / "Annotations", "a", thing())
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match="train.txt: no annotations of 'b'"):
        open_voc(tmp_path, "train")
