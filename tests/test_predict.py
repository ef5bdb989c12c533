"""Names of pictures and objects; what prediction finds is in test_commands.py."""

from pathlib import Path

import numpy as np
import pytest

from fpn_jax.predict import counted, decoded, image_files, picture_paths
from tests.support.photograph import SQUARE, is_red, write_photograph


def names(*images: str, out: str = "out") -> list[str]:
    return [str(path) for path in picture_paths([*map(Path, images)], Path(out))]


def test_a_picture_is_named_after_its_image():
    assert names("a/1.jpg", "b/2.final.png") == ["out/1.png", "out/2.final.png"]


def test_images_of_one_name_get_a_picture_each():
    assert names("a/1.png", "b/1.jpg", "b/1-2.jpg", "c/1.png") == [
        *("out/1.png", "out/1-2.png", "out/1-2-2.png", "out/1-3.png")
    ]


def test_no_picture_takes_the_place_of_an_image():
    assert names("b/1.jpg", "a/../a/1.png", out="a") == ["a/1-2.png", "a/1-3.png"]


def test_objects_are_counted_by_name_the_most_frequent_first():
    assert counted(["dog", "cat", "dog"]) == "3 objects (2 dog, 1 cat)"
    assert counted([]) == "0 objects"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(tmp_path, orientation):
    write_photograph(tmp_path / "a.jpg", orientation)
    ((_, _, image),) = decoded([(tmp_path / "a.jpg", tmp_path / "a.png")])
    assert image.shape == (64, 48, 3) and is_red(image, np.array(SQUARE))


def test_a_folder_gives_its_images_by_name_without_clutter(tmp_path):
    for name in ("b.JPG", "a.png", "._a.png", "notes.txt", "Thumbs.db"):
        (tmp_path / name).touch()
    given = [tmp_path, Path("c.jpg")]
    assert [path.name for path in image_files(given)] == ["a.png", "b.JPG", "c.jpg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"images: no file in '.*empty' is one of "):
        [*image_files([tmp_path / "empty"])]
