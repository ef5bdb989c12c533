"""Requests that cannot be answered: each has its status and one line."""

import zlib
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.support.photograph import encoded
from tests.support.serving import (
    ask,
    ask_raw,
    engine_of,
    form,
    metric,
    png,
    served,
)

MOST_BYTES, MOST_PIXELS = 100_000, 1_000_000


@pytest.fixture(scope="module")
def server():
    bounds = {"body_bytes": MOST_BYTES, "pixels": MOST_PIXELS, "body_seconds": 1.0}
    with served(engine_of(), **bounds) as server:
        yield server


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data).to_bytes(4)
    return len(data).to_bytes(4) + kind + data + check


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that states so many pixels."""
    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000), 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


def jpeg_bomb() -> bytes:
    """A JPEG whose head states 30000 x 30000 pixels."""
    data = bytearray(encoded(Image.new("RGB", (8, 8)), "JPEG"))
    place = data.index(b"\xff\xc0") + 5  # of height and width in the frame's head
    data[place : place + 4] = (30000).to_bytes(2) * 2
    return bytes(data)


def gif_bomb() -> bytes:
    """A GIF that states 30000 x 30000 pixels."""
    data = bytearray(encoded(Image.new("P", (8, 8)), "GIF"))
    data[6:10] = (30000).to_bytes(2, "little") * 2
    return bytes(data)


def jp2_bomb() -> bytes:
    """A JPEG 2000 whose box states 8 x 8 pixels, and whose pixels are 20000 x 20000."""
    data = bytearray(encoded(Image.new("RGB", (8, 8)), "JPEG2000"))
    place = data.index(b"\xff\x51") + 6  # of the grid's width and height
    data[place : place + 8] = (20000).to_bytes(4) * 2
    return bytes(data)


class Bad(NamedTuple):
    status: int
    line: str  # a part of it
    body: bytes = b""
    query: str = ""
    headers: dict[str, str] = {}
    method: str = "POST"
    path: str = "/detect"


KIND, JSON = "Content-Type", "application/json"
THRESHOLD = "?score_threshold="
FORM = form(image=png())
TWO = form(a=png(), b=png())
FIELD = (
    b'--edge\r\nContent-Disposition: form-data; name="score"\r\n\r\n0.5\r\n--edge--\r\n'
)
BAD = {
    "no image": Bad(422, "not a readable image (5 bytes)", b"hello"),
    "a text": Bad(422, "not a readable image", b"word " * 1000),
    "zeros": Bad(422, "not a readable image", bytes(5000)),
    "half a PNG": Bad(422, "image: not a readable image", png(200, 200)[:-40]),
    "half a JPEG": Bad(
        422, "cut off or damaged", encoded(Image.new("RGB", (200, 200)), "JPEG")[:-200]
    ),
    "a PNG's first bytes": Bad(422, "not a readable image", png()[:8]),
    "a damaged PNG": Bad(422, "not a readable", png(90, 90).replace(b"IDAT", b"IDAX")),
    "a video": Bad(422, "not a readable", b"\0\0\0\x18ftypmp42" + bytes(500)),
    "a vector drawing": Bad(422, "not a readable", b"<svg xmlns='x'></svg>"),
    "a document": Bad(422, "not a readable", b"%PDF-1.7\n" + bytes(500)),
    "EPS, which is a program": Bad(422, "not a readable", b"%!PS-Adobe-3.0 EPSF-3.0\n"),
    "a kind that states no size": Bad(
        422, "not a readable", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9 +X 9\n"
    ),
    "a wide bomb": Bad(413, "1000001 x 1 pixels", bomb(1_000_001, 1)),
    "a large bomb": Bad(413, "at most 1 million", bomb(30_000, 30_000)),
    "a bomb beyond all limits": Bad(422, "not a readable", bomb(2**31 - 1, 2**31 - 1)),
    "a JPEG bomb": Bad(413, "30000 x 30000 pixels", jpeg_bomb()),
    "a JPEG 2000 with two sizes": Bad(422, "not a readable", jp2_bomb()),
    "a GIF bomb": Bad(413, "30000 x 30000 pixels", gif_bomb()),
    "no pixels": Bad(422, "not a readable", bomb(0, 5)),
    "a long body": Bad(413, "longer than 0.1 MB", bytes(MOST_BYTES + 1)),
    "an empty body": Bad(400, "body: empty"),
    "JSON": Bad(415, "'application/json' given", b"{}", headers={KIND: JSON}),
    "curl's default": Bad(
        415,
        "with curl: -F image=@photo.jpg",
        png(),
        headers={KIND: "application/x-www-form-urlencoded"},
    ),
    "text": Bad(415, "must be image/…", png(), headers={KIND: "text/plain"}),
    "gzip": Bad(415, "none is taken", png(), headers={"Content-Encoding": "gzip"}),
    "a form without an edge": Bad(
        400, "form: Missing boundary", FORM[0], headers={KIND: "multipart/form-data"}
    ),
    "a form of another edge": Bad(
        400, "form: ", FORM[0], headers={KIND: "multipart/form-data; boundary=other"}
    ),
    "a form that is cut off": Bad(400, "form: no file", FORM[0][:20], headers=FORM[1]),
    "a form of two files": Bad(400, "form: Too many files", TWO[0], headers=TWO[1]),
    "a form without a file": Bad(400, "'score' is no file", FIELD, headers=FORM[1]),
    "a form of an empty file": Bad(400, "body: empty", form(x=b"")[0], headers=FORM[1]),
    "a form of no image": Bad(422, "not a readable", form(x=b"x")[0], headers=FORM[1]),
    "a threshold of 2": Bad(422, "'2' given, must be 0 … 1", png(), THRESHOLD + "2"),
    "a negative threshold": Bad(422, "must be 0 … 1", png(), THRESHOLD + "-0.1"),
    "no number": Bad(422, "score_threshold: 'high' given", png(), THRESHOLD + "high"),
    "NaN": Bad(422, "score_threshold: 'nan' given", png(), THRESHOLD + "nan"),
    "an unknown class": Bad(422, "nearest: 'cat'", png(), "?classes=cta"),
    "a label too high": Bad(422, "classes: '2' is none", png(), "?classes=2"),
    "an unknown option": Bad(422, "nearest: 'score_thr", png(), "?score_treshold=1"),
    "another path": Bad(404, "POST /detect", png(), path="/detects"),
    "a file of the system": Bad(404, "nothing is at", path="/../../etc/passwd"),
    "GET": Bad(405, "GET is not for '/detect'", method="GET"),
    "DELETE": Bad(405, "DELETE is not for '/detect'", method="DELETE"),
    "POST to a page": Bad(405, "POST is not for '/metrics'", path="/metrics"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_has_its_status_and_a_line(server, name):
    bad = BAD[name]
    before = metric(server, "fpn_jax_batch_images_count")
    answer = ask(server.port, bad.method, bad.path + bad.query, bad.body, bad.headers)
    assert answer.status == bad.status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.json.keys() == {"error"}
    line = answer.json["error"]
    assert bad.line in line and "\n" not in line and len(line) < 250
    assert metric(server, "fpn_jax_batch_images_count") == before


CHUNK = b"8000\r\n" + bytes(0x8000) + b"\r\n"
HEAD = b"POST /detect HTTP/1.1\r\nHost: here\r\n"
RAW = {
    "no length": (411, b"content-length: none given", HEAD + b"\r\n"),
    "a length beyond the limit, before a byte of it": (
        *(413, b"longer than 0.1 MB"),
        HEAD + b"Content-Length: 99999999999\r\n\r\n",
    ),
    "chunks without an end": (
        *(413, b"longer than 0.1 MB"),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK * 4,
    ),
    "a body that does not come": (
        *(408, b"not whole after 1 seconds"),
        HEAD + b"Content-Length: 1000\r\n\r\nshort",
    ),
    "two lengths": (
        *(400, b"Invalid HTTP request"),
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
    ),
    "a length of letters": (
        *(400, b"Invalid HTTP request"),
        HEAD + b"Content-Length: many\r\n\r\n",
    ),
    "no HTTP": (400, b"Invalid HTTP request", b"HELLO\r\n\r\n"),
    "TLS": (400, b"Invalid HTTP request", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\r\n\r\n"),
    "no host": (400, b"Invalid HTTP request", b"GET / HTTP/1.1\r\n\r\n"),
    "a head without an end": (
        *(400, b"Invalid HTTP request"),
        HEAD + b"X: " + b"a" * 65_600,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
def test_bytes_that_are_no_right_request_are_refused(server, name):
    status, line, data = RAW[name]
    answer = ask_raw(server.port, data)
    assert answer.status == status
    assert line in answer.body and b"\n" not in answer.body


def test_there_are_more_than_forty_of_them():
    assert len(BAD) + len(RAW) >= 50


def test_after_all_that_the_server_answers(server):
    answer = ask(server.port, "POST", "/detect", png())
    assert answer.status == 200
    assert [row["name"] for row in answer.json["objects"]] == ["cat", "dog"]
    assert np.isclose(answer.json["objects"][0]["score"], 0.9)
