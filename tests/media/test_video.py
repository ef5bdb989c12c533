"""Frames of videos, there and back."""

from pathlib import PurePath

import av
import numpy as np
import pytest

from fpn_jax.media.video import Video, last_part, open_video


def frame(shade: int, height: int = 40, width: int = 60) -> np.ndarray:
    image = np.full((height, width, 3), (shade, 40, 200), np.uint8)
    image[: height // 2, : width // 2] = 255 - shade  # tells where the top is
    return image


def written(path, frames, rate=12.5):
    with Video(path, rate) as video:
        for image in frames:
            video.add(image)
    return path


def test_frames_come_back_in_their_order(tmp_path):
    shades = range(0, 250, 25)
    path = written(tmp_path / "new" / "1.mp4", map(frame, shades))
    source = open_video(str(path), PurePath("1.mp4"))
    assert source.frame_rate == 12.5 and source.total == 10
    for shade, picture in zip(shades, source.pictures, strict=True):
        # H.264 halves the colors' resolution, so corners of the square are off.
        difference = np.abs(picture.read().astype(int) - frame(shade))
        assert np.median(difference) < 6


def test_a_browser_can_play_it(tmp_path):
    path = written(tmp_path / "1.mp4", map(frame, (0, 100)))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize("size", [(41, 61), (40, 61), (2, 2)])
def test_odd_sides_lose_a_pixel(tmp_path, size):
    path = written(tmp_path / "1.mp4", [frame(9, *size)])
    (picture,) = open_video(str(path), PurePath("1.mp4")).pictures
    assert picture.read().shape == (size[0] & ~1, size[1] & ~1, 3)


def test_a_video_without_frames_is_no_file(tmp_path):
    written(tmp_path / "1.mp4", [])
    assert not (tmp_path / "1.mp4").exists()


def test_what_was_added_before_an_interruption_is_whole(tmp_path):
    with pytest.raises(KeyboardInterrupt), Video(tmp_path / "1.mp4", 10) as video:
        for shade in (0, 50):
            video.add(frame(shade))
        raise KeyboardInterrupt
    assert open_video(str(tmp_path / "1.mp4"), PurePath("1.mp4")).total == 2


def test_the_name_in_an_address_is_without_its_query():
    assert last_part("https://a.org/b/clip.mp4?a=b/c") == "clip.mp4"
    assert last_part("a/what?.jpg") == "what?.jpg"
    assert last_part("https://a.org") == "a.org"
