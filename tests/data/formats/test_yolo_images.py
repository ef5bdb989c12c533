import os

import pytest

from fpn_jax.data.formats.yolo_images import label_files, listed_images


@pytest.fixture
def root(tmp_path):
    for name in ("images/a.jpg", "images/deep/b.AVIF", "images/deep/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_folder_is_walked_through_without_clutter(root):
    for name in ("._a.jpg", ".ipynb_checkpoints/a-checkpoint.jpg", "__MACOSX/a.jpg"):
        (root / "images" / name).parent.mkdir(exist_ok=True)
        (root / "images" / name).write_bytes(b"")
    found = listed_images(str(root), ["images"], "train")
    assert found.names == ["images/a.jpg", "images/deep/b.AVIF"] and not found.notes


def test_a_folder_that_links_lead_to_is_walked_through_once(root):
    os.symlink(root / "images", root / "images/again")
    os.symlink(root / "images/deep", root / "images/also")
    found = listed_images(str(root), ["images"], "train")
    assert found.names == ["images/a.jpg", "images/deep/b.AVIF"]


def test_lists_are_relative_to_themselves_or_to_the_root(root):
    lines = "\ufeff./a.jpg\r\nimages\\deep\\b.AVIF\r\n\r\n" + f"{root}/images/c.png\r\n"
    (root / "images/list.txt").write_text(lines)
    names = ["images/a.jpg", "images/deep/b.AVIF", "images/c.png"]
    assert listed_images(str(root), ["images/list.txt"], "train").names == names


def test_of_a_listed_path_on_another_machine_the_end_counts(root):
    (root / "list.txt").write_text("/content/x/images/a.jpg\ndata/images/deep/b.AVIF\n")
    names = ["images/a.jpg", "images/deep/b.AVIF"]
    assert listed_images(str(root), ["list.txt"], "train").names == names


def test_an_image_is_taken_once_and_that_is_said(root):
    (root / "list.txt").write_text("images/a.jpg\nimages/a.jpg\n")
    found = listed_images(str(root), ["list.txt", "images"], "train")
    assert found.names == ["images/a.jpg", "images/deep/b.AVIF"]
    first, second = found.notes
    assert "list.txt: 1 images are named again" in str(first)
    assert "the first is line 2, images/a.jpg" in first.reason
    assert "images: 1 images are named again" in str(second)
    assert first.note and second.note


def test_formats_that_nothing_decodes_are_named(root):
    (root / "images/d.SVG").write_bytes(b"")
    (note,) = listed_images(str(root), ["images"], "train").notes
    assert note.note and note.reason.startswith("1 files are left out")
    assert note.reason.endswith("the first is images/d.SVG")
    (root / "list.txt").write_text("images/a.jpg\nimages/a.docx\n")
    (note,) = listed_images(str(root), ["list.txt"], "train").notes
    assert "the first is line 2, images/a.docx" in note.reason


def test_a_place_that_is_not_there_is_named(root):
    with pytest.raises(
        ValueError, match=r"^train: .*/x: neither a folder of images no"
    ):
        listed_images(str(root), ["x"], "train")


@pytest.mark.parametrize(
    "place", ["/content/data/images/deep", "C:/me/data/images/deep", "/kaggle/deep"]
)
def test_a_place_on_another_machine_is_found_by_its_end_and_that_is_said(root, place):
    (root / "deep").symlink_to(root / "images/deep")
    found = listed_images(str(root), [place], "data.yaml: train")
    assert [name.rpartition("/")[2] for name in found.names] == ["b.AVIF"]
    (note,) = found.notes
    assert note.note and note.place == "data.yaml: train"
    assert note.reason.startswith(f"{place} is not there, and {root}/")


@pytest.mark.parametrize("place", ["/content/valid/images", "/nowhere", "C:/valid"])
def test_a_folder_that_may_be_of_any_split_is_not_taken_for_another(root, place):
    message = f"^val: {place}: neither a folder of images nor a file that lists them$"
    with pytest.raises(ValueError, match=message):
        listed_images(str(root), [place], "val")


def test_listed_files_of_tools_are_left_out_and_hidden_folders_above_are_not(root):
    for name in (".cache/x/a.jpg", ".cache/x/._a.jpg", ".ipynb_checkpoints/a.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    lines = f"{root}/.cache/x/a.jpg\n{root}/.cache/x/._a.jpg\n"
    (root / "images/list.txt").write_text(lines)
    found = listed_images(f"{root}/images", ["list.txt"], "train")
    assert found.names == [f"{root}/.cache/x/a.jpg"]
    (root / "list.txt").write_text(".ipynb_checkpoints/a.jpg\nimages/a.jpg\n")
    assert listed_images(str(root), ["list.txt"], "train").names == ["images/a.jpg"]


def test_a_list_of_files_that_are_elsewhere_is_named(root):
    (root / "list.txt").write_text("x/c.jpg\nx/d.jpg\n")
    with pytest.raises(
        ValueError, match="list.txt: no file that it lists .*1, x/c.jpg"
    ):
        listed_images(str(root), ["list.txt"], "train")


def test_labels_takes_the_place_of_the_last_images():
    folders = {}
    assert list(label_files("/images/x/images/y/a.b.jpg", folders)) == [
        "/images/x/labels/y/a.b.txt"
    ]
    assert list(label_files("/x/images2/a.jpg", folders)) == ["/x/images2/a.txt"]
    assert list(label_files("/images/a.jpg", folders)) == ["/labels/a.txt"]
    assert list(label_files("gs://x/images/a.jpg", folders)) == ["gs://x/labels/a.txt"]


def test_labels_are_also_where_links_lead(root):
    os.symlink(root / "images", root / "train")
    real = os.path.realpath(root)
    assert list(label_files(f"{real}/train/a.jpg", {})) == [
        f"{real}/train/a.txt",
        f"{real}/labels/a.txt",
    ]
