"""The page to try a detector, and the description of the interface, in a browser."""

import base64
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fpn_jax.data.example import Category
from fpn_jax.inference import load
from fpn_jax.serving.engine import predictor_engine
from tests.support.chromium import chromium
from tests.support.photograph import exif_of
from tests.support.random_run import directory_of, picture, with_masks
from tests.support.serving import ask, engine_of, png, served

COLORED = """
(() => {
  const overlay = document.getElementById('overlay');
  const {width, height} = overlay;
  const data = overlay.getContext('2d').getImageData(0, 0, width, height).data;
  let number = 0;
  for (let place = 3; place < data.length; place += 4) number += data[place] > 0;
  return number;
})()
"""
MASKS = """
found.objects.map(object => {
  const context = new OffscreenCanvas(found.width, found.height).getContext('2d');
  drawMask(context, object);
  const data = context.getImageData(0, 0, found.width, found.height).data;
  return data.filter((_, place) => place % 4 === 3).map(alpha => alpha > 0).join('');
})
"""
ROWS = "[...document.querySelectorAll('tbody tr')].map(row => row.innerText)"
LINE = "document.getElementById('line').textContent"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture(scope="module")
def detect(tmp_path_factory):
    run = directory_of(with_masks(), tmp_path_factory)
    return load(run, score_threshold=0.01, batch_size=2)


@pytest.fixture
def photograph(tmp_path):
    """A photograph that is stored lying and upright by its EXIF."""
    image = Image.fromarray(picture(60, 90)).resize((360, 240))
    image.save(tmp_path / "1.jpg", exif=exif_of(6))
    return tmp_path / "1.jpg"


def test_a_picture_is_dropped_and_its_objects_are_shown(
    tab, detect, photograph, tmp_path
):
    with served(predictor_engine(detect, "random")) as server:
        home = f"http://127.0.0.1:{server.port}"
        tab.events.clear()
        tab.go(f"{home}/")
        tab.until("document.title === 'fpn_jax: random'")
        tab.value("document.getElementById('threshold').value = 0.1")
        tab.drop(photograph, 400, 90)
        tab.until(f"{LINE}.includes('object')")
        tab.screenshot(tmp_path / "dropped.png")
        wanted = detect(photograph).filter(score_threshold=0.1)
        assert len(wanted) > 0 and wanted.size == (360, 240)
        rows = [row.split("\t") for row in tab.value(ROWS)]
        assert [row[0] for row in rows] == wanted.class_names
        boxes = [[float(side) for side in row[2].split(", ")] for row in rows]
        np.testing.assert_allclose(boxes, wanted.boxes, atol=0.51)
        # The canvas has the pixels of the upright image and lies on the picture.
        overlay = "document.getElementById('overlay')"
        assert tab.value(f"[{overlay}.width, {overlay}.height]") == [240, 360]
        masked = wanted.masks.any(axis=0).sum()
        assert tab.value(COLORED) >= masked
        # A higher threshold leaves none, without another request.
        asked = len(tab.events)
        tab.value(
            "document.getElementById('threshold').value = 1;"
            "document.getElementById('threshold').dispatchEvent(new Event('input'))"
        )
        assert tab.value(f"{LINE}.startsWith('0 objects')")
        assert tab.value(COLORED) == 0 and tab.value(ROWS) == []
        new = [event.get("method") for event in tab.events[asked:]]
        assert "Network.requestWillBeSent" not in new
        assert tab.hosts() == {home} and tab.problems() == []


def test_masks_are_drawn_where_they_are(tab, detect, tmp_path):
    Image.fromarray(picture(96, 128)).save(tmp_path / "1.png")
    with served(predictor_engine(detect, "random")) as server:
        tab.go(f"http://127.0.0.1:{server.port}/")
        tab.choose("#file", tmp_path / "1.png")
        tab.until(f"{LINE}.includes('object')")
        found = detect(tmp_path / "1.png")
        drawn = tab.value(MASKS)
    assert drawn == ["".join(map(str, mask.ravel() * 1)) for mask in found.masks]


def test_objects_of_a_picture_that_the_browser_cannot_show_are_listed(tab, tmp_path):
    image = Image.fromarray(picture(30, 60))
    image.save(tmp_path / "1.tiff")
    image.save(tmp_path / "2.png")
    with served(engine_of()) as server:
        tab.go(f"http://127.0.0.1:{server.port}/")
        tab.choose("#file", tmp_path / "1.tiff")
        tab.until(f"{LINE}.endsWith('; this browser cannot show the picture')")
        tab.screenshot(tmp_path / "unseen.png")
        assert tab.value(f"{LINE}.startsWith('1 object, ')")
        assert [row.split("\t")[0] for row in tab.value(ROWS)] == ["cat"]
        assert tab.value("document.getElementById('picture').hidden")
        assert tab.value("document.getElementById('overlay').width") == 0
        tab.choose("#file", tmp_path / "2.png")
        tab.until(f"/^1 object, [0-9.]+ s$/.test({LINE})")
        assert tab.value(COLORED) > 0


def test_a_picture_chosen_while_another_is_loaded_is_shown(tab):
    data = base64.b64encode(png(30, 60)).decode()
    bytes_of = f"Uint8Array.from(atob('{data}'), each => each.charCodeAt(0))"
    with served(engine_of()) as server:
        tab.go(f"http://127.0.0.1:{server.port}/")
        tab.value(
            f"look(new File([{bytes_of}], '1.png'));"
            f"look(new File([{bytes_of}], '2.png')); 0"
        )
        tab.until(f"{LINE}.includes('object')")
        assert not tab.value("document.getElementById('picture').hidden")
        assert tab.value("document.getElementById('picture').alt") == "2.png"
        assert tab.value(COLORED) > 0


def test_what_the_server_refuses_is_told(tab, tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"no image")
    with served(engine_of()) as server:
        tab.go(f"http://127.0.0.1:{server.port}/")
        tab.choose("#file", tmp_path / "1.jpg")
        tab.until(f"{LINE} === 'image: not a readable image (8 bytes)'")
        tab.until("document.getElementById('picture').hidden")
    tab.choose("#file", tmp_path / "1.jpg")
    tab.until(f"{LINE}.startsWith('The server cannot be reached')")


def test_names_of_classes_are_text_and_not_markup(tab, tmp_path):
    name = "<img src=x onerror=document.title='broken'>"
    engine = replace(engine_of(), categories=(Category(1, name), Category(2, "dog")))
    Image.fromarray(picture(30, 60)).save(tmp_path / "1.png")
    with served(engine) as server:
        tab.go(f"http://127.0.0.1:{server.port}/")
        tab.choose("#file", tmp_path / "1.png")
        tab.until(f"{LINE}.includes('object')")
        assert tab.value("document.querySelector('td').textContent") == name
        assert tab.value("document.title") == "fpn_jax: made-up"


def test_the_interface_is_described_without_other_hosts(tab, tmp_path):
    with served(engine_of()) as server:
        home = f"http://127.0.0.1:{server.port}"
        tab.events.clear()
        tab.go(f"{home}/docs", height=1200)
        tab.until("document.querySelectorAll('.opblock').length >= 4")
        tab.screenshot(tmp_path / "docs.png")
        text = tab.value("document.body.innerText")
        assert "/detect" in text and "Failed to load" not in text
        assert tab.hosts() == {home} and tab.problems() == []


def test_the_page_says_that_nothing_comes_from_elsewhere():
    with served(engine_of()) as server:
        answer = ask(server.port, "GET", "/")
        schema = ask(server.port, "GET", "/openapi.json").json
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "connect-src 'self'" in policy
    assert b"http:" not in answer.body and b"https:" not in answer.body
    detect = schema["paths"]["/detect"]["post"]
    assert detect["requestBody"]["content"].keys() == {"image/*", "multipart/form-data"}
    assert {"200", "413", "503"} <= detect["responses"].keys()
    names = [parameter["name"] for parameter in detect["parameters"]]
    assert names == ["score_threshold", "classes"]
