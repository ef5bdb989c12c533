"""What may be typed, and which pictures it stands for."""

import io
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fpn_jax.data.example import UnreadableImage
from fpn_jax.media.sources import find_sources
from fpn_jax.media.video import Video
from tests.support.photograph import SQUARE, is_red, write_photograph

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(IMAGE).save(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a/2.png", "a/1.png", ".hidden/1.png", "__MACOSX/1.png"):
        write(tmp_path / "pictures" / name)
    (tmp_path / "pictures" / "notes.txt").touch()
    return tmp_path / "pictures"


def places(given) -> list[str]:
    """The relative paths of all pictures, each of which is IMAGE."""
    found = []
    for source in find_sources(str(given)):
        opened = source.open()
        pictures = [*opened.pictures]
        assert opened.total == len(pictures) and opened.frame_rate is None
        for picture in pictures:
            np.testing.assert_array_equal(picture.read(), IMAGE)
            found.append(picture.place.as_posix())
    return found


def test_a_folder_has_the_pictures_of_its_folders_without_clutter(folder):
    assert places(folder) == ["a/1.png", "a/2.png", "b.png"]
    (source,) = find_sources(str(folder))
    assert source.files == tuple(
        folder / name for name in ("a/1.png", "a/2.png", "b.png")
    )


def test_a_pattern_may_go_through_folders(folder):
    assert places("pictures/*/*.png") == ["1.png", "2.png"]
    assert places("pictures/**/*.png") == ["1.png", "2.png", "b.png"]
    assert places(f"{folder}/?.png") == ["b.png"]


def test_a_file_whose_name_is_a_pattern_is_itself(folder):
    write(folder / "a[1].png")
    assert places(folder / "a[1].png") == ["a[1].png"]


def test_a_list_starts_at_its_own_folder_or_here(folder):
    listed = folder / "list.txt"
    listed.write_text("# mine\n\na/1.png\npictures/b.png\r\n")
    assert places(listed) == ["1.png", "b.png"]


def test_an_archive_has_the_pictures_in_it(folder):
    with zipfile.ZipFile("1.ZIP", "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    assert places("1.ZIP") == ["a/1.png", "a/2.png", "b.png"]


@pytest.mark.parametrize("form", ["image", "list"])
def test_standard_input_is_an_image_or_a_list(folder, monkeypatch, form):
    data = (folder / "b.png").read_bytes() if form == "image" else b"pictures/b.png\n"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert places("-") == ["standard-input" if form == "image" else "b.png"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(tmp_path, orientation):
    write_photograph(tmp_path / "a.jpg", orientation)
    (source,) = find_sources(str(tmp_path / "a.jpg"))
    (picture,) = source.open().pictures
    image = picture.read()
    assert image.shape == (64, 48, 3) and is_red(image, np.array(SQUARE))


def test_videos_of_a_folder_follow_its_pictures(folder):
    with Video(folder / "a" / "clip.mp4", 10) as video:
        for shade in (0, 100, 200):
            video.add(np.full((32, 48, 3), shade, np.uint8))
    images, video = find_sources(str(folder), every=2)
    assert [picture.name for picture in images.open().pictures][-1].endswith("b.png")
    assert video.files == (folder / "a" / "clip.mp4",)
    clip = video.open()
    assert clip.frame_rate == 5 and clip.total == 2 and not clip.live
    first, last = clip.pictures
    assert last.name.endswith("a/clip.mp4#2") and last.place.name == "clip-000002"
    assert abs(int(last.read().mean()) - 200) < 3 and first.read().mean() < 3


@pytest.mark.parametrize(
    "given, said",
    [
        ("pictures/*.jpg", r"images: 'pictures/\*.jpg': no file is an image "),
        (
            "pictures/*.txt",
            "images: .*: none of 1 that match is an image ",
        ),
        ("empty", "images: no file in 'empty' is an image "),
        ("empty.txt", "images: 'empty.txt' lists no file"),
        ("broken.zip", "images: 'broken.zip' is no zip archive: "),
        ("-", "images: nothing on standard input"),
    ],
)
def test_where_there_is_nothing_a_line_says_so(folder, monkeypatch, given, said):
    Path("empty").mkdir()
    Path("empty.txt").write_text("# nothing\n")
    Path("broken.zip").write_text("nothing")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    with pytest.raises(ValueError, match=f"^{said}"):
        find_sources(given)


@pytest.mark.parametrize(
    "given, said",
    [
        ("none.jpg", "none.jpg: No such file"),
        ("none.mp4", "none.mp4: No such file"),
        ("broken.mp4", "broken.mp4: not a readable video"),
        ("99", "99: neither a file nor a camera of this machine"),
        ("locked.zip", "locked.zip/1.png: .*[Bb]ad CRC"),
    ],
)
def test_what_cannot_be_read_is_named_where_it_is_read(folder, given, said):
    Path("broken.mp4").write_text("nothing")
    with zipfile.ZipFile("locked.zip", "w") as archive:
        archive.write(folder / "b.png", "1.png")
    data = bytearray(Path("locked.zip").read_bytes())
    data[60] ^= 255  # a byte of the picture
    Path("locked.zip").write_bytes(data)
    (source,) = find_sources(given)
    with pytest.raises(UnreadableImage, match=f"^{said}") as error:
        for picture in source.open().pictures:
            picture.read()
    assert "\n" not in str(error.value)
