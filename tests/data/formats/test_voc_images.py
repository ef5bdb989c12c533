import pytest

from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.voc_file import VocFile
from fpn_jax.data.formats.voc_images import images_of


@pytest.fixture
def find(tmp_path):
    """Gives the images and defects of {stem: <filename>} beside these images."""

    def find(stated, images, stems=None):
        for name in images:
            (tmp_path / name).write_bytes(b"")
        files = [VocFile(stem, image, None, []) for stem, image in stated.items()]
        return images_of(files, Folder(tmp_path), stated if stems is None else stems)

    return find


@pytest.mark.parametrize(
    ("stated", "there", "image"),
    [
        ("a.png", ["a.jpg", "a.png"], "a.png"),
        ("a", ["a.png"], "a.png"),
        ("a.pgm", ["a.pgm"], "a.pgm"),
        ("before.jpg", ["a.heic", "a.png", "a.txt"], "a.png"),
        ("a.jpg", ["a.png"], "a.png"),
        ("", ["a.png"], "a.png"),
        ("before.jpg", ["a.png"], "a.png"),
        ("other.jpg", ["other.jpg"], "other.jpg"),
        ("C:/x/other.jpg", ["other.jpg"], "other.jpg"),
        ("other.v2", ["other.v2.png"], "other.v2.png"),
        ("none.jpg", ["other.jpg"], "none.jpg"),
        ("", ["other.jpg"], "a.jpg"),
    ],
)
def test_the_image_of_its_own_name_comes_before_the_one_it_names(
    find, stated, there, image
):
    assert find({"a": stated}, there) == ({"a": image}, [])


def test_a_folder_without_images_is_named(find, tmp_path):
    with pytest.raises(ValueError, match=f"^{tmp_path}: no images are there$"):
        find({"a": "a.jpg"}, ["a.txt"])


def test_a_copied_file_describes_the_image_of_its_own_name(find):
    shown, (note,) = find({"a": "b.jpg", "b": "b.jpg"}, ["a.jpg", "b.jpg"])
    assert shown == {"a": "a.jpg", "b": "b.jpg"} and note.note
    assert note.reason.endswith("which is taken: a.xml names b.jpg, not a.jpg")


@pytest.mark.parametrize("second", ["b", "c"])
def test_an_image_of_two_files_is_a_defect_of_one(find, second):
    shown, (defect,) = find({second: "b.jpg", "x": "b.jpg"}, ["b.jpg"])
    assert shown == {second: "b.jpg"} and defect.place == "x.xml"
    assert defect.reason == f"its image is b.jpg, which is the image of {second}.xml"


def test_the_image_of_a_file_of_another_set_is_not_taken(find):
    shown, (defect,) = find({"x": "b.jpg"}, ["b.jpg"], stems=["x", "b"])
    assert not shown and "the image of b.xml" in defect.reason
