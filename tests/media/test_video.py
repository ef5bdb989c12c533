"""Frames of videos, there and back."""

import time
from itertools import pairwise
from pathlib import PurePath

import av
import numpy as np
import pytest

from fpn_jax.media.video import Video, _source, last_part, open_video


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


class Camera:
    """A camera of 100 frames in a second, whose pixels have the frame's number."""

    def __init__(self, frames: int):
        self.number, self.frames, self.is_released = -1, frames, False

    def get(self, what):
        return 100.0

    def grab(self):
        time.sleep(0.01)
        self.number += 1
        return self.number < self.frames

    def retrieve(self):
        return True, np.full((4, 6, 3), self.number, np.uint8)

    def release(self):
        self.is_released = True


def test_a_slow_network_sees_the_newest_frame_of_a_camera():
    camera = Camera(100)
    source = _source("camera 0", PurePath("camera-0"), camera, 1, live=True)
    seen = []
    for image in source.pictures:
        seen.append(int(image.read()[0, 0, 0]))
        assert image.name == f"camera 0#{seen[-1]}"
        time.sleep(0.1)
    assert seen == sorted(set(seen)) and 5 <= len(seen) <= 14
    assert seen[-1] == 99 and camera.is_released


def test_a_camera_is_released_where_it_is_left():
    camera = Camera(10_000)
    source = _source("camera 0", PurePath("camera-0"), camera, 1, live=True)
    next(source.pictures)
    source.pictures.close()
    assert camera.is_released and camera.number < 100


def test_frames_of_a_live_video_are_shown_when_they_came(tmp_path):
    with Video(tmp_path / "1.mp4", 100, live=True) as video:
        for shade in (0, 50, 100):
            video.add(frame(shade))
            time.sleep(0.3)
    with av.open(str(tmp_path / "1.mp4")) as container:
        seconds = [shown.time for shown in container.decode(video=0)]
    assert seconds[0] == 0 and len(seconds) == 3
    for earlier, later in pairwise(seconds):
        assert 0.25 < later - earlier < 1
