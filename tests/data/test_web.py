"""Images at web addresses, by a server on the loopback."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.given_images import as_image, is_one_image
from fpn_jax.data.web import _in_ascii, fetch, is_web_address
from tests.support.weights_server import serving

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture
def server():
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, "PNG")
    with serving(file.getvalue()) as server:
        yield server


def test_an_address_is_fetched_and_decoded(server):
    address = f"{server.url}/a.png?size=large"
    for given in (address, Path(address)):  # which has lost a slash
        assert is_one_image(given)
        np.testing.assert_array_equal(as_image(given), IMAGE)


def test_an_address_is_sent_as_browsers_send_it():
    assert _in_ascii("https://a.org/Käse 1%20a.jpg?b=ü&c=/") == (
        "https://a.org/K%C3%A4se%201%20a.jpg?b=%C3%BC&c=/"
    )
    assert _in_ascii("http://bücher.de:80/a") == "http://xn--bcher-kva.de:80/a"


def test_an_address_has_a_scheme():
    assert is_web_address("HTTPS://a.org/b.jpg") and is_web_address(
        Path("http://a.org")
    )
    assert not is_web_address("a.jpg") and not is_web_address("https.jpg")


@pytest.mark.parametrize(
    "answer, said",
    [
        ("status 404", "/a.png: the server answers 404$"),
        ("break 50", "/a.png: broke off, [0-9]+ bytes are missing$"),
    ],
)
def test_a_failure_is_a_line_that_names_the_address(server, answer, said):
    server.answers.append(answer)
    with pytest.raises(UnreadableImage, match=f"^{server.url}{said}"):
        fetch(f"{server.url}/a.png")


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/a.png", "http://", "https:/[x"]
)
def test_nobody_there_is_a_line(address):
    with pytest.raises(
        UnreadableImage, match="^https?://.*: cannot be fetched: [^\n]+$"
    ):
        fetch(address)


def test_a_page_is_no_image(server):
    server.content = b"<!doctype html><html></html>"
    with pytest.raises(UnreadableImage, match="/a: not a readable image .*web page"):
        as_image(f"{server.url}/a")
