"""Pictures are decoded ahead, and come in their order."""

import threading
import time
from pathlib import PurePath

import numpy as np
import pytest

from fpn_jax.data.example import UnreadableImage
from fpn_jax.media.decoding import decoded
from fpn_jax.media.picture import Picture

NONE = {"unreadable": pytest.fail}


def pictures(num, read=lambda number: np.full((1, 1, 3), number, np.uint8)):
    for number in range(num):
        yield Picture(str(number), PurePath("1"), lambda number=number: read(number))


def test_they_come_in_their_order_whichever_is_decoded_first():
    def read(number):
        time.sleep(0.02 if number % 4 == 0 else 0)
        return number

    found = [image for _, image in decoded(pictures(20, read), ahead=4, **NONE)]
    assert found == [*range(20)]


def test_what_cannot_be_read_is_told_and_ends_nothing():
    def read(number):
        if number == 1:
            raise UnreadableImage("1: broken")
        return number

    told = []
    found = decoded(pictures(3, read), ahead=2, unreadable=told.append)
    assert [image for _, image in found] == [0, 2]
    assert [str(error) for error in told] == ["1: broken"]


def test_no_more_are_read_than_are_asked_for():
    started, threads = [], threading.active_count()

    def counted():
        for picture in pictures(100):
            started.append(picture)
            yield picture

    found = decoded(counted(), ahead=3, **NONE)
    next(found)
    time.sleep(0.3)
    # One is taken, three wait, and one waits for its place.
    assert 4 <= len(started) <= 6
    found.close()
    time.sleep(0.3)
    assert len(started) <= 6
    assert threading.active_count() <= threads


def test_an_error_of_the_source_is_raised():
    def broken():
        yield from pictures(1)
        raise ValueError("images: gone")

    found = decoded(broken(), ahead=2, **NONE)
    next(found)
    with pytest.raises(ValueError, match="images: gone"):
        next(found)
