"""Limits of a server, clients that vanish, and what it counts."""

import contextlib
import http.client
import socket
import threading
import time

import pytest

from fpn_jax.serving.app import make_app, new_serving
from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.running import start_server, stop_server
from tests.support.serving import (
    Answered,
    answer_of,
    ask,
    engine_of,
    gate,
    metric,
    png,
    served,
    until,
)

HEAD = b"POST /detect HTTP/1.1\r\nHost: here\r\nContent-Type: image/png\r\n"
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n" % len(png()) + png()


def asked_in_threads(port: int, number: int) -> tuple[list[threading.Thread], list]:
    answers: list[Answered] = []

    def one() -> None:
        answers.append(ask(port, "POST", "/detect", png()))

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads, answers


def accepted(server) -> float:
    return metric(server, "fpn_jax_requests_accepted")


def test_a_full_server_says_when_to_come_back_and_forgets_nothing():
    with gate() as device, served(engine_of(device.run), requests=6) as server:
        threads, answers = asked_in_threads(server.port, 6)
        until(lambda: accepted(server) == 6)
        refused = ask(server.port, "POST", "/detect", png())
        assert refused.status == 503 and refused.headers["retry-after"] == "1"
        assert refused.json["error"] == "server: 6 requests are waiting, try later"
        # Who asks for its state is answered all the same.
        assert ask(server.port, "GET", "/health").status == 200
        device.opened.set()
        for thread in threads:
            thread.join()
        assert [answer.status for answer in answers] == [200] * 6
        assert accepted(server) == 0
        assert ask(server.port, "POST", "/detect", png()).status == 200


def test_a_request_without_an_answer_in_time_is_dropped():
    with gate() as device, served(engine_of(device.run), answer_seconds=0.3) as server:
        answers = [ask(server.port, "POST", "/detect", png()) for _ in range(2)]
        assert [answer.status for answer in answers] == [504, 504]
        assert answers[0].json["error"] == "server: no answer after 0.3 seconds"
        until(lambda: accepted(server) == 0)
        device.opened.set()
        assert ask(server.port, "POST", "/detect", png()).status == 200
        # The first was on the device already, the second never came there.
        assert metric(server, "fpn_jax_batch_images_sum") == 2


def test_clients_that_vanish_do_not_reach_the_device():
    with gate() as device, served(engine_of(device.run, batch_size=2)) as server:
        threads, answers = asked_in_threads(server.port, 1)
        assert device.begun.wait(60)
        there = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(9)]
        for connection in there:
            connection.sendall(REQUEST)
        until(lambda: server.serving.batcher.waiting == 9)
        for connection in there:
            connection.close()
        gone = {"route": "/detect", "status": "499"}
        until(lambda: metric(server, "fpn_jax_requests_total", **gone) == 9)
        assert accepted(server) == 1
        device.opened.set()
        threads[0].join()
        assert answers[0].status == 200
        until(lambda: server.serving.batcher.waiting == 0)
        assert metric(server, "fpn_jax_batch_images_sum") == 1


@pytest.mark.parametrize("sent", [b"", HEAD[:20], REQUEST[:-30]])
def test_clients_that_vanish_in_the_middle_of_a_request_leave_nothing(sent):
    with served(engine_of()) as server:
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(sent)
            connection.close()
        until(lambda: not server.running.server.server_state.connections)
        assert ask(server.port, "POST", "/detect", png()).status == 200
        until(lambda: accepted(server) == 0)
        assert metric(server, "fpn_jax_batch_images_sum") == 1


def test_a_connection_that_asks_for_nothing_is_closed():
    with served(engine_of(), body_seconds=0.2) as server:
        with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
            connection.sendall(HEAD)
            assert connection.recv(100) == b""


def seconds_until_closed(connection: socket.socket, byte: bytes) -> float:
    """Sends a byte now and then; returns the time until the server closes."""
    start = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() < start + 20:
            connection.sendall(byte)
            time.sleep(0.1)
    return time.monotonic() - start


def test_a_connection_that_has_had_an_answer_asks_whole_or_is_closed():
    with served(engine_of(), body_seconds=1) as server:
        with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
            for _ in range(2):  # in the second, what the first one armed is past
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
                response = http.client.HTTPResponse(connection)
                response.begin()
                assert answer_of(response).status == 200
                time.sleep(1.5)  # without a byte it is kept
            assert 0.5 < seconds_until_closed(connection, b"a") < 5


def test_a_connection_does_not_send_the_rest_of_a_refused_body_for_ever():
    with served(engine_of(), body_seconds=1, body_bytes=10_000) as server:
        with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
            connection.sendall(HEAD + b"Content-Length: 20000\r\n\r\n")
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert answer_of(response).status == 413
            assert 0.5 < seconds_until_closed(connection, b"a") < 5


def test_a_device_that_fails_is_a_line_and_the_next_request_is_answered():
    failing = threading.Event()

    def run(images, sizes) -> None:
        if failing.is_set():
            raise RuntimeError("of the device, with a long story\nin lines")

    with served(engine_of(run)) as server:
        failing.set()
        answer = ask(server.port, "POST", "/detect", png())
        assert answer.status == 500
        assert answer.json["error"] == "server: it failed, which its log describes"
        failing.clear()
        assert ask(server.port, "POST", "/detect", png()).status == 200


def test_what_is_counted():
    with gate() as device, served(engine_of(device.run, batch_size=8)) as server:
        threads, _ = asked_in_threads(server.port, 1)
        assert device.begun.wait(60)
        more, _ = asked_in_threads(server.port, 5)
        until(lambda: metric(server, "fpn_jax_queue_images") == 5)
        device.opened.set()
        for thread in threads + more:
            thread.join()
        ask(server.port, "GET", "/nowhere/1")
        ask(server.port, "GET", "/nowhere/2")
        ask(server.port, "POST", "/detect", b"x")
        answer = ask(server.port, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.body.decode().splitlines()
    assert 'fpn_jax_requests_total{route="/detect",status="200"} 6.0' in lines
    assert 'fpn_jax_requests_total{route="/detect",status="422"} 1.0' in lines
    assert 'fpn_jax_requests_total{route="other",status="404"} 2.0' in lines
    assert 'fpn_jax_request_seconds_count{route="/detect"} 7.0' in lines
    assert 'fpn_jax_batch_images_bucket{le="1.0"} 1.0' in lines
    assert 'fpn_jax_batch_images_bucket{le="8.0"} 2.0' in lines
    assert "fpn_jax_batch_images_sum 6.0" in lines
    assert "fpn_jax_queue_images 0.0" in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


def test_states_before_and_after_the_programs_are_compiled():
    compiling = threading.Event()

    def run(images, sizes) -> None:
        assert compiling.wait(60)

    serving = new_serving(engine_of(run), Bounds(), wait_seconds=0.0)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    running = start_server(make_app(serving), serving, listener)
    try:
        for path, method in (("/ready", "GET"), ("/detect", "POST")):
            answer = ask(port, method, path, png())
            assert answer.status == 503 and answer.headers["retry-after"] == "1"
            line = "server: its programs are being compiled"
            assert answer.json["error"] == line
        assert ask(port, "GET", "/health").json["status"] == "UP"
        compiling.set()
        until(lambda: ask(port, "GET", "/ready").status == 200)
        about = ask(port, "GET", "/ready").json
        assert about["classes"] == ["cat", "dog"] and about["batch_size"] == 4
        assert about["canvases"] == [[32, 64], [64, 32]]
        head = ask(port, "HEAD", "/ready")
        assert (head.status, head.body) == (200, b"")
        assert ask(port, "POST", "/detect", png()).status == 200
    finally:
        compiling.set()
        stop_server(running)


def test_a_program_that_cannot_be_compiled_is_told_to_whoever_started_it():
    def run(images, sizes) -> None:
        raise MemoryError("a step needs 99 GB, there are 9 GB")

    serving = new_serving(engine_of(run), Bounds(), wait_seconds=0.0)
    listener = socket.create_server(("127.0.0.1", 0))
    running = start_server(make_app(serving), serving, listener)
    try:
        until(lambda: bool(running.failures))
        assert "99 GB" in str(running.failures[0])
        port = listener.getsockname()[1]
        assert ask(port, "GET", "/ready").status == 503
    finally:
        stop_server(running)
