"""What a server answers is what `load` finds, by one program for each canvas."""

import dataclasses
import json
import threading

import numpy as np
import pytest
from PIL import Image

from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.inference import load
from fpn_jax.serving.engine import predictor_engine
from tests.support.compilations import count_compilations
from tests.support.photograph import encoded, exif_of
from tests.support.random_run import CANVAS, directory_of, picture, two_stage
from tests.support.serving import ask, form, metric, served

BATCH = 4
# Lying, standing, square, far from the ratio of the canvas, larger and smaller.
SHAPES = [(96, 128), (150, 201), (128, 96), (77, 77), (40, 211), (222, 37), (301, 190)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    pool = {"pool": RoIPool(size=14, levels=(3, 4)), "num_convs": 1, "channels": 8}
    model = two_stage(
        mask_head=MaskHead(2, **pool), keypoint_head=KeypointHead(3, **pool)
    )
    return directory_of(model, tmp_path_factory)


@pytest.fixture(scope="module")
def detect(run):
    return load(run, score_threshold=0.01, batch_size=BATCH)


@pytest.fixture(scope="module")
def server(detect):
    with served(predictor_engine(detect, "random")) as server:
        yield server


def posted(server, data: bytes, query: str = "", **headers: str):
    answer = ask(server.port, "POST", f"/detect{query}", data, headers)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    return answer.json


@pytest.mark.parametrize("height, width", SHAPES)
def test_a_request_finds_what_load_finds_in_the_image(server, detect, height, width):
    data = encoded(picture(height, width), "PNG")
    answer = posted(server, data)
    assert (answer["model"], answer["width"], answer["height"]) == (
        "random",
        width,
        height,
    )
    # In a batch of the same size it is so to the bit.
    same = detect([picture(height, width)] * BATCH)[0]
    assert len(same) > 3
    assert answer["objects"] == json.loads(same.to_json())["objects"]
    # By the program of one image, rounding differs in the last digits.
    alone = detect(picture(height, width))
    boxes, scores = (
        np.array([row[name] for row in answer["objects"]]) for name in ("box", "score")
    )
    np.testing.assert_allclose(boxes, alone.boxes, atol=1e-3)
    np.testing.assert_allclose(scores, alone.scores, atol=1e-5)
    assert [row["name"] for row in answer["objects"]] == alone.class_names


def test_there_are_as_many_programs_as_canvases(detect):
    # Another detector than the module's, whose programs are compiled.
    engine = predictor_engine(detect, "random")
    with count_compilations() as compiled, served(engine) as server:
        assert len(compiled) == len(engine.canvases) == 2
        threads = [
            threading.Thread(target=posted, args=(server, encoded(image, "PNG")))
            for shape in SHAPES
            for image in [picture(*shape)] * 3
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert metric(server, "fpn_jax_batch_images_sum") == len(threads)
        assert metric(server, "fpn_jax_batch_images_count") < len(threads)
    assert len(compiled) == 2


def test_a_square_canvas_has_one_program(detect):
    engine = predictor_engine(_square(detect), "random")
    assert engine.canvases == ((128, 128),)


def _square(detect):
    other = detect.with_thresholds()
    other.canvas = (128, 128)
    return other


def test_raw_bytes_and_forms_are_the_same_request(server):
    data = encoded(picture(60, 90), "JPEG")
    raw = posted(server, data, **{"Content-Type": "image/jpeg"})
    body, headers = form(any_name=data)
    assert raw == posted(server, body, **headers) == posted(server, data)


def test_a_photograph_is_turned_upright_as_load_turns_it(server, detect, tmp_path):
    data = encoded(Image.fromarray(picture(60, 90)), "JPEG", exif=exif_of(6))
    (tmp_path / "1.jpg").write_bytes(data)
    answer, wanted = posted(server, data), detect(tmp_path / "1.jpg")
    assert (answer["height"], answer["width"]) == wanted.size == (90, 60)
    boxes = [row["box"] for row in answer["objects"]]
    np.testing.assert_allclose(boxes, wanted.boxes, atol=1e-3)


@pytest.mark.parametrize("query", ["classes=cat", "classes=dog&classes=CAT"])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_the_query_filters_as_a_result_does(server, detect, query, threshold):
    image = picture(96, 128)
    answer = posted(
        server, encoded(image, "PNG"), f"?{query}&score_threshold={threshold}"
    )
    classes = [part.partition("=")[2] for part in query.split("&")]
    same = detect([image] * BATCH)[0]
    wanted = same.filter(classes=classes, score_threshold=threshold)
    assert answer["objects"] == json.loads(wanted.to_json())["objects"]


def test_boxes_go_back_by_the_scale_of_the_run(detect):
    image, scale = picture(77, 111), 128 / 111
    assert predictor_engine(detect, "").place(image).size == (88, 128)
    other = detect.with_thresholds()
    other.box_scale = "common"
    placed = predictor_engine(other, "").place(image)
    assert placed.size == pytest.approx((77 * scale, 128))
    assert placed.pixels.shape == (88, 128, 3)


def test_a_class_of_no_name_is_its_label(detect):
    engine = dataclasses.replace(predictor_engine(detect, "random"), categories=())
    with served(engine) as server:
        rows = posted(server, encoded(picture(*CANVAS), "PNG"), "?classes=1")["objects"]
    assert rows and {row["name"] for row in rows} == {"1"}
