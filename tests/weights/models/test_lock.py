"""A lock is for one process or thread, and dies with it."""

import threading
import time

from fpn_jax.weights.models.lock import locked
from tests.support.fetching import PROCESSES


def test_the_second_waits_and_is_told_so(tmp_path):
    order, waits = [], threading.Event()

    def second():
        with locked(tmp_path / "lock", waits.set):
            order.append("second")

    with locked(tmp_path / "lock", lambda: order.append("never")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def hold(file, holds) -> None:
    with locked(file, lambda: None):
        holds.set()
        time.sleep(60)


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    holds = PROCESSES.Event()
    process = PROCESSES.Process(target=hold, args=(tmp_path / "lock", holds))
    process.start()
    assert holds.wait(30)
    process.kill()
    process.join()
    with locked(tmp_path / "lock", lambda: None):
        pass
