"""Images that wait together go through the device together."""

import threading
import time
from concurrent.futures import wait

import numpy as np
import pytest

from fpn_jax.serving.batching import Batcher
from tests.support.serving import HIGH, WIDE, engine_of, gate, until

place = engine_of().place
LYING = place(np.ones((20, 40, 3), np.uint8))
UPRIGHT = place(np.ones((40, 20, 3), np.uint8))


@pytest.fixture
def batches():
    """Lists the canvas and the sizes of every batch."""
    return []


def made(batches, wait_seconds, run=None, **options) -> Batcher:
    def note(images, sizes) -> None:
        batches.append((images.shape[1:3], sizes.tolist()))
        if run is not None:
            run(images, sizes)

    batcher = Batcher(engine_of(note, **options), wait_seconds)
    batcher.start()
    return batcher


def test_a_full_batch_leaves_at_once_and_a_lone_image_after_the_wait(batches):
    batcher = made(batches, wait_seconds=0.3, batch_size=2)
    start = time.monotonic()
    first = [batcher.submit(LYING), batcher.submit(LYING)]
    wait(first)
    assert time.monotonic() - start < 0.3
    start = time.monotonic()
    alone = batcher.submit(LYING)
    assert alone.result().valid.all()
    assert 0.3 <= time.monotonic() - start < 3
    batcher.close()
    assert batches == [(WIDE, [[20, 32], [20, 32]]), (WIDE, [[20, 32], [0, 0]])]


def test_images_of_another_canvas_wait_in_a_queue_of_their_own(batches):
    batcher = made(batches, wait_seconds=60, batch_size=2)
    futures = [batcher.submit(x) for x in (LYING, UPRIGHT, UPRIGHT, LYING)]
    done = wait(futures, timeout=30)
    assert not done.not_done
    batcher.close()
    assert sorted(canvas for canvas, _ in batches) == [WIDE, HIGH]
    lying, upright = futures[0].result(), futures[1].result()
    assert lying.boxes[0].tolist() == [0, 0, 32, 20]
    assert upright.boxes[0].tolist() == [0, 0, 20, 32]


def test_what_comes_while_the_device_is_busy_goes_together(batches):
    with gate() as device:
        batcher = made(batches, wait_seconds=0, run=device.run, batch_size=4)
        first = batcher.submit(LYING)
        until(first.running)
        rest = [batcher.submit(LYING) for _ in range(5)]
        assert batcher.waiting == 5
        device.opened.set()
        wait([first, *rest])
        batcher.close()
    images = [sum(height > 0 for height, _ in sizes) for _, sizes in batches]
    assert images == [1, 4, 1]


def test_an_image_that_nobody_waits_for_does_not_reach_the_device(batches):
    with gate() as device:
        batcher = made(batches, wait_seconds=0, run=device.run, batch_size=2)
        first = batcher.submit(LYING)
        until(first.running)
        dropped = [batcher.submit(LYING) for _ in range(3)]
        kept = batcher.submit(UPRIGHT)
        assert all(future.cancel() for future in dropped)
        device.opened.set()
        assert kept.result(30).valid.all()
        batcher.close()
    assert [canvas for canvas, _ in batches] == [WIDE, HIGH]


def test_a_batch_that_fails_fails_its_images_and_no_others(batches):
    def run(images, sizes) -> None:
        if len(batches) == 1:
            raise RuntimeError("the device")

    batcher = made(batches, wait_seconds=0, run=run)
    with pytest.raises(RuntimeError, match="the device"):
        batcher.submit(LYING).result(30)
    assert batcher.submit(LYING).result(30).valid.all()
    batcher.close()


def test_closing_computes_what_was_submitted(batches):
    batcher = made(batches, wait_seconds=60, batch_size=4)
    futures = [batcher.submit(x) for x in (LYING, UPRIGHT, LYING)]
    batcher.close()
    assert all(future.result(0).valid.all() for future in futures)


def test_every_image_gets_its_own_detections_from_many_threads(batches):
    batcher = made(batches, wait_seconds=0.001, batch_size=3)
    found = {}

    def one(height: int) -> None:
        image = place(np.ones((height, 40, 3), np.uint8))
        found[height] = batcher.submit(image).result(30).boxes[0, 3]

    threads = [threading.Thread(target=one, args=(n,)) for n in range(1, 31)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batcher.close()
    assert found == {height: height for height in range(1, 31)}
