"""Label Studio's protocol: its tasks in, its predictions out, and no other address."""

import base64
import contextlib
import json
import threading
import time
import tracemalloc
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.label_studio import label_studio_adder
from fpn_jax.types import Detections
from tests.support.serving import ask, engine_of, png, served

TOKEN = "a-token"
FILES = {"/data/upload/1.png": png(20, 40), "/data/upload/2.png": png(40, 20)}

# Requests for an image that never comes to its end, and those that were given up.
HELD, LEFT = threading.Semaphore(0), threading.Semaphore(0)


class LabelStudio(BaseHTTPRequestHandler):
    """Gives its files to those who have the token."""

    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/secret")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path == "/held":
            self._trickle()
            return
        allowed = self.headers.get("Authorization") == f"Token {TOKEN}"
        data = FILES.get(self.path, b"")
        self.send_response(401 if not allowed else 200 if data else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):  # it may be given up
            self.wfile.write(data)

    def _trickle(self) -> None:
        """Sends a byte now and then, until nobody takes them."""
        HELD.release()
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x")
                time.sleep(0.1)
        LEFT.release()

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope="module")
def studio():
    with ThreadingHTTPServer(("127.0.0.1", 0), LabelStudio) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def server(studio):
    bounds = Bounds(body_bytes=10_000)
    add = label_studio_adder(studio, TOKEN, bounds, 0.5)
    with served(engine_of(), add=add, body_bytes=10_000) as server:
        yield server


def predicted(server, *images: str):
    tasks = [{"id": n, "data": {"image": image}} for n, image in enumerate(images)]
    body = json.dumps({"tasks": tasks, "project": "1", "label_config": "<View/>"})
    headers = {"Content-Type": "application/json"}
    return ask(server.port, "POST", "/predict", body, headers)


def test_it_is_set_up_and_healthy(server):
    body = b'{"project": "1", "schema": "<View/>", "hostname": "", "access_token": ""}'
    setup = ask(server.port, "POST", "/setup", body)
    assert setup.status == 200 and setup.json == {"model_version": "made-up"}
    assert ask(server.port, "GET", "/health").json["status"] == "UP"


def test_tasks_get_a_prediction_each_in_their_order(server, studio):
    embedded = "data:image/png;base64," + base64.b64encode(png(30, 60)).decode()
    answer = predicted(
        server, "/data/upload/1.png", f"{studio}/data/upload/2.png", embedded
    )
    assert answer.status == 200 and answer.json["model_version"] == "made-up"
    found = answer.json["results"]
    sizes = [
        (each["result"][0]["original_height"], each["result"][0]["original_width"])
        for each in found
    ]
    assert sizes == [(20, 40), (40, 20), (30, 60)]
    for each in found:
        (region,) = each["result"]  # the dog has a score of 0.3
        assert region["value"]["rectanglelabels"] == ["cat"]
        assert region["to_name"] == "image" and region["from_name"] == "label"
        assert each["score"] == pytest.approx(0.9)
        assert each["model_version"] == "made-up"
    assert found[0]["result"][0]["value"]["width"] == pytest.approx(100)


def test_more_tasks_than_a_batch_are_done_too(server):
    answer = predicted(server, *["/data/upload/1.png"] * 11)
    assert len(answer.json["results"]) == 11


@pytest.mark.parametrize(
    "name, line",
    [
        ("http://169.254.169.254/secret", "is not an address of http://127.0.0.1"),
        ("file:///etc/passwd", "is not an address of"),
        ("//other.host/1.png", "is not an address of"),
        ("s3://bucket/1.png", "is not an address of"),
        ("http://[x", "is not an address of"),
        ("http://here:port/1.png", "is not an address of"),
        ("/elsewhere", "answers 302"),
        ("/data/upload/3.png", "answers 404"),
        ("data:image/png;base64,%%%", "cannot be had"),
        ("data:image/png;base64,é", "cannot be had"),
        ("data:,", "not a readable image (0 bytes)"),
    ],
)
def test_an_image_that_is_not_had_is_a_line(server, name, line):
    answer = predicted(server, "/data/upload/1.png", name)
    assert answer.status == 422 and line in answer.json["error"]


def test_masks_of_the_size_of_an_image_are_made_one_by_one(studio):
    def found(images, sizes) -> Detections:
        rows, objects = len(sizes), 60
        boxes = np.tile(np.array([0, 0, 32, 32], np.float32), (rows, objects, 1))
        scores = np.tile(np.linspace(0.9, 0.8, objects, dtype=np.float32), (rows, 1))
        return Detections(
            boxes=boxes,
            scores=scores,
            labels=np.zeros(scores.shape, np.int32),
            valid=np.ones(scores.shape, bool),
            masks=np.ones((*scores.shape, 7, 7), np.float32),
        )

    embedded = "data:image/png;base64," + base64.b64encode(png(1000, 1000)).decode()
    add = label_studio_adder(studio, TOKEN, Bounds(), 0.5)
    with served(replace(engine_of(), run=found), add=add) as server:
        tracemalloc.start()
        try:
            answer = predicted(server, embedded)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    (prediction,) = answer.json["results"]
    assert prediction["score"] == pytest.approx(0.85)
    assert {each["type"] for each in prediction["result"]} == {"polygonlabels"}
    assert len(prediction["result"]) == 60
    assert peak < 30e6, peak  # all masks together have 60 MB


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"tasks": 5}', b'{"tasks": [{"data": {}}]}', b"[" * 5000],
)
def test_a_body_of_no_tasks_is_a_line(server, body):
    answer = ask(server.port, "POST", "/predict", body)
    assert answer.status == 400 and "must be JSON" in answer.json["error"]


def test_a_file_beyond_the_limit_is_a_line(server, monkeypatch):
    monkeypatch.setitem(FILES, "/data/upload/4.png", bytes(10_001))
    answer = predicted(server, "/data/upload/4.png")
    assert answer.status == 422 and "longer than 0.01 MB" in answer.json["error"]


@contextlib.contextmanager
def asked_for_held_images(server, number: int):
    """Gives the list of the answer to a request for images that never come."""
    answers = []
    names = ["/held"] * number
    asking = threading.Thread(target=lambda: answers.append(predicted(server, *names)))
    asking.start()
    for _ in range(number):
        assert HELD.acquire(timeout=60)
    yield answers
    asking.join()
    for _ in range(number):
        assert LEFT.acquire(timeout=60)


def test_images_that_do_not_come_hold_up_no_other_request(studio):
    bounds = Bounds(body_seconds=5)
    add = label_studio_adder(studio, TOKEN, bounds, 0.5)
    with served(engine_of(), add=add) as server:  # it has two threads that decode
        with asked_for_held_images(server, 4) as answers:
            assert ask(server.port, "POST", "/detect", png()).status == 200
            assert answers == []
        assert answers[0].status == 422
        assert "'/held' cannot be had: not whole" in answers[0].json["error"]


def test_the_other_images_of_a_refused_request_are_given_up(server):
    start = time.monotonic()
    answer = predicted(server, "/held", "/held", "/data/upload/3.png")
    assert answer.status == 422 and "answers 404" in answer.json["error"]
    for _ in range(2):
        assert LEFT.acquire(timeout=60) and HELD.acquire(timeout=0)
    assert time.monotonic() - start < Bounds().body_seconds


def test_a_server_stops_while_an_image_does_not_come(studio):
    bounds = Bounds(body_seconds=1)
    add = label_studio_adder(studio, TOKEN, bounds, 0.5)
    with contextlib.ExitStack() as asked:
        with served(engine_of(), add=add) as server:
            answers = asked.enter_context(asked_for_held_images(server, 3))
        assert answers[0].status == 422


def test_without_an_address_there_is_no_such_path():
    add = label_studio_adder(None, None, Bounds(), 0.5)
    with served(engine_of(), add=add) as server:
        assert predicted(server, "/data/upload/1.png").status == 404
