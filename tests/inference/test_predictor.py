"""A run as a function from images to detections in their own pixels."""

import copy
import pickle
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import fpn_jax
from fpn_jax.backbones.dummy import Dummy
from fpn_jax.compilation import call_once
from fpn_jax.data.example import UnreadableImage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.inference import Predictor
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.run import load_run, save_run
from tests.support.compilations import count_compilations
from tests.support.random_run import (
    CANVAS,
    CATEGORIES,
    directory_of,
    picture,
    two_stage,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns a directory of random weights that find something."""
    return directory_of(two_stage(), tmp_path_factory)


@pytest.fixture(scope="module")
def detect(run):
    return fpn_jax.load(run)


def test_what_is_saved_is_loaded(run):
    loaded = load_run(run)
    assert loaded.config.model == two_stage()
    assert (loaded.step, loaded.categories, loaded.skeleton) == (
        0,
        CATEGORIES,
        ((0, 2),),
    )
    with pytest.raises(ValueError, match="holds a run"):
        save_run(run, loaded)


def test_detections_are_in_the_pixels_of_the_image(tmp_path_factory):
    model = two_stage(
        mask_head=MaskHead(
            2, pool=RoIPool(size=14, levels=(3, 4)), num_convs=1, channels=8
        ),
        keypoint_head=KeypointHead(
            3, pool=RoIPool(size=14, levels=(3, 4)), num_convs=1, channels=8
        ),
    )
    found = fpn_jax.load(directory_of(model, tmp_path_factory))(picture(60, 230))
    num = len(found.scores)
    assert 0 < num <= 9
    assert found.masks.shape == (num, 60, 230) and found.masks.dtype == bool
    assert found.keypoints.shape == (num, 3, 2)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= np.float32([230, 60, 230, 60]) + 1e-3).all()
    assert found.boxes[:, 2].max() > 128  # not of the canvas
    assert (np.diff(found.scores) <= 0).all()


SHAPES = [(96, 128), (50, 60), (128, 96), (40, 200), (96, 96), (200, 41), (30, 30)]


def assert_alike(found, expected):
    np.testing.assert_array_equal(found.labels, expected.labels)
    # A batch sums in another order.
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


def test_boxes_go_back_by_the_rule_of_the_run(detect):
    image = picture(97, 160)  # at 0.8: 77.6 rows become 77
    other = Predictor(
        detect.model, detect.variables, CANVAS, CATEGORIES, box_scale="common"
    )
    by_sides, common = detect(image).boxes, other(image).boxes
    assert len(common) > 0
    np.testing.assert_allclose(common[:, 0::2], by_sides[:, 0::2], rtol=1e-6)
    ratio = np.float32(77 / 77.6)
    np.testing.assert_allclose(common[:, 1::2], by_sides[:, 1::2] * ratio, rtol=1e-6)


def test_an_image_has_the_detections_that_it_has_alone_in_its_place(detect):
    images = [picture(*shape, seed) for seed, shape in enumerate(SHAPES)]
    for image, found in zip(images, detect(images), strict=True):
        assert_alike(found, detect(image))


def test_a_portrait_is_as_large_as_a_landscape(detect):
    for shape, limit in (((192, 256), 130), ((256, 192), 98)):
        found = detect(picture(*shape))
        assert found.boxes[:, 2].max() > limit
        assert (found.boxes <= np.float32(shape[::-1] * 2) + 1e-3).all()


def test_a_folder_of_any_shapes_needs_at_most_six_programs(run):
    predictor = fpn_jax.load(run, batch_size=4)
    random = np.random.default_rng(0)
    with count_compilations() as compiled:
        for count in (1, 2, 4, 9, 23):
            shapes = random.integers(20, 300, (count, 2))
            assert len(predictor([picture(*shape) for shape in shapes])) == count
    assert 2 <= len(compiled) <= 4


def test_less_than_half_a_batch_goes_one_by_one(run):
    predictor = fpn_jax.load(run, batch_size=8)
    shapes = []
    detect = predictor._detect
    predictor._detect = lambda variables, images, sizes: (
        shapes.append((images.shape, images.dtype, (sizes > 0).all(axis=1).sum()))
        or detect(variables, images, sizes)
    )
    predictor([picture(*shape) for shape in [(96, 128)] * 13 + [(60, 50)] * 3])
    lying, standing = (96, 128, 3), (128, 96, 3)
    assert shapes == [
        ((8, *lying), np.uint8, 8),
        ((8, *lying), np.uint8, 5),
        *[((1, *standing), np.uint8, 1)] * 3,
    ]


def test_the_exact_canvas_is_the_next_multiple_of_32_of_all_images(run):
    predictor = fpn_jax.load(run, canvas="exact")
    shapes = []
    detect = predictor._detect
    predictor._detect = lambda variables, images, sizes: (
        shapes.append((images.shape, images.dtype)) or detect(variables, images, sizes)
    )
    # 96 x 64 and 64 x 128 fit the canvas upright and lying at scales of 4 / 3 and 1.
    found = predictor([picture(96, 64), picture(64, 128)])
    assert shapes == [((2, 128, 128, 3), np.float32)]
    assert len(found) == 2 and predictor([]) == []


@pytest.mark.parametrize(
    "argument, said",
    [
        ({"canvas": "exakt"}, "canvas must be .* got 'exakt' .*'exact'"),
        ({"batch_size": 0}, "batch_size: 0 given, must be a whole number >= 1$"),
        ({"batch_size": 2.5}, "batch_size: 2.5 given, must be a whole number"),
        ({"max_detections": 0}, "max_detections: 0 given, must be a whole number"),
        ({"max_detections": True}, "max_detections: True given"),
        ({"score_threshold": 50}, "score_threshold: 50 given, must be 0 … 1$"),
        ({"score_threshold": float("nan")}, "score_threshold: nan given"),
        ({"score_threshold": "0.5"}, "score_threshold: '0.5' given"),
        ({"nms_threshold": 1.5}, "nms_threshold: 1.5 given, must be 0 … 1$"),
        ({"dtype": "bf16"}, "dtype must be .* got 'bf16' .nearest: 'bfloat16'.$"),
        ({"dtype": "int8"}, "dtype must be one of 'float32', .* got 'int8'"),
        ({"dtype": jnp.float64}, "dtype must be one of .* got 'float64'"),
        ({"checkpoint": 7}, "checkpoint must be one of 'best', 'latest', '0', got '7'"),
        ({"checkpoint": 0.5}, "checkpoint: 0.5 given, must be 'best', 'latest' or a"),
        ({"experiment": "none.py"}, "experiment: no file 'none.py'"),
        ({"experiment": 3}, "experiment: no file '3'"),
        ({"trust": "yes"}, "trust: 'yes' given, must be True or False"),
    ],
)
def test_an_argument_that_means_nothing_is_named_when_loading(run, argument, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        fpn_jax.load(run, **argument)


def test_a_run_is_a_directory(run):
    with pytest.raises(ValueError, match="^run: .*config.json' is a file, must be the"):
        fpn_jax.load(run / "config.json")
    with pytest.raises(ValueError, match="^run: 'https://.*' is an address; download"):
        fpn_jax.load("https://a.b/model.pth")
    with pytest.raises(ValueError, match="^run: None given, must be the directory"):
        fpn_jax.load(None)


def test_a_label_without_a_name_is_told_when_loading(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "categories.json"
    file.write_text('[{"id": 1, "name": "cat"}]')
    with pytest.raises(ValueError, match=f"^{file}: 1 classes, the model has 2$"):
        fpn_jax.load(tmp_path / "run")


def test_a_view_of_an_array_is_the_image_it_shows(detect):
    image = picture(96, 128)
    wide = picture(96, 256)
    wide[:, ::2] = image
    wide.setflags(write=False)
    assert_alike(detect(wide[:, ::2]), detect(image))
    mirrored = np.ascontiguousarray(image[..., ::-1])
    assert_alike(detect(mirrored[..., ::-1]), detect(image))


def test_a_step_may_be_a_number_and_a_type_that_of_jax(run):
    predictor = fpn_jax.load(run, 0, dtype=jnp.bfloat16)
    assert predictor.model.backbone.dtype == "bfloat16"


def test_a_pickled_detector_finds_the_same(detect):
    image = picture(96, 128)
    back = pickle.loads(pickle.dumps(detect))
    assert_alike(back(image), detect(image))
    assert (back.categories, back.canvas) == (detect.categories, detect.canvas)
    assert_alike(copy.deepcopy(detect)(image), detect(image))


def test_thresholds_and_counts_are_arguments(run, detect):
    image = picture(96, 128)
    usual = detect(image)
    fewer = fpn_jax.load(run, max_detections=3)(image)
    np.testing.assert_array_equal(fewer.scores, usual.scores[:3])
    limit = float(usual.scores[3])
    above = fpn_jax.load(run, score_threshold=limit)(image)
    np.testing.assert_array_equal(above.scores, usual.scores[usual.scores > limit])
    assert len(fpn_jax.load(run, nms_threshold=0.0)(image).scores) <= len(usual.scores)


def test_a_proposal_network_takes_the_same_arguments():
    model = ProposalNetwork(
        Dummy(levels=(3, 4)),
        FPN(8),
        RPNHead(anchor_sizes=((16,), (32,), (64,)), pre_nms=60, post_nms=40),
    )
    variables = call_once(
        model.init, jax.random.key(0), jnp.zeros((1, *CANVAS, 3)), jnp.array([CANVAS])
    )
    few = model.with_thresholds(max_detections=5)
    found = Predictor(few, variables, CANVAS)(picture(96, 128))
    assert len(found.scores) == 5


def test_half_precision_is_one_argument_and_ends_in_float32(run, detect):
    image = picture(96, 128)
    exact, half = detect(image), fpn_jax.load(run, dtype="bfloat16")(image)
    assert half.boxes.dtype == half.scores.dtype == np.float32
    assert half.scores[0] == pytest.approx(exact.scores[0], rel=0.05)
    assert half.scores[0] != exact.scores[0]


def test_float_pixels_are_those_of_bytes(detect):
    image = picture(96, 128)
    np.testing.assert_allclose(
        detect(image.astype(np.float32)).boxes, detect(image).boxes, atol=1e-4
    )


def test_a_shape_is_compiled_once(detect):
    detect(picture(96, 128))
    with count_compilations() as compiled:
        detect(picture(96, 128, seed=5))
    assert not compiled


def test_an_image_may_be_of_any_library_or_a_path(detect, tmp_path):
    image = picture(96, 128)
    path = tmp_path / "image.png"
    Image.fromarray(image).save(path)
    for one in (jnp.asarray(image), Image.fromarray(image), path, str(path)):
        assert_alike(detect(one), detect(image))
        (found,) = detect([one])
        assert_alike(found, detect(image))
        assert_alike(next(detect.each(one)), detect(image))


def test_several_images_may_be_a_batch_or_come_one_by_one(detect):
    images = np.stack([picture(96, 128, seed) for seed in range(3)])
    expected = [detect(image) for image in images]
    for several in (images, jnp.asarray(images), tuple(images), (x for x in images)):
        for found, one in zip(detect(several), expected, strict=True):
            assert_alike(found, one)
    assert detect(map(np.asarray, [])) == detect([]) == []


def test_the_images_before_a_bad_one_have_their_results(detect):
    found = detect.each([picture(40, 60), picture(60, 40), "none.jpg", picture(9, 9)])
    assert [next(found).size, next(found).size] == [(40, 60), (60, 40)]
    with pytest.raises(UnreadableImage, match="^none.jpg: No such file"):
        next(found)
    with pytest.raises(StopIteration):
        next(found)


def test_its_text_says_what_it_is(detect):
    assert repr(detect) == "Predictor(2 classes, canvas of 96 x 128)"


def test_images_of_an_iterator_are_read_four_batches_at_a_time(detect):
    assert detect.batch_size == 8
    read = []
    images = (read.append(n) or picture(96, 128, n) for n in range(33))
    each = detect.each(images)
    assert not read
    next(each)
    assert read == list(range(32))
    assert len(list(each)) == 32 and read == list(range(33))


@pytest.mark.parametrize(
    "image, said",
    [
        (np.zeros((8, 8, 2), np.uint8), r"shape \(8, 8, 2\) given"),
        (None, "None given"),
        ([None], "None given"),
        ({"image": np.zeros((8, 8, 3), np.uint8)}, "a dict given"),
        ([np.zeros((8, 8, 3)) > 0.5], "bool given"),
        (memoryview(np.zeros((8, 8, 3), np.uint8)), "a memoryview given"),
        (3, "an int given"),
        (np.full((8, 8, 3), -0.5, np.float32), "floats of -0.5 … -0.5 given"),
    ],
)
def test_what_is_no_image_is_told_in_a_line(detect, image, said):
    with pytest.raises(ValueError, match=f"^images: .*{said}"):
        detect(image)


@pytest.mark.parametrize(
    "canvas", [64, (64,), (64, 64, 3), (0, 64), (64.0, 64), "64", None, (64, 100)]
)
def test_a_canvas_is_two_sides(detect, canvas):
    with pytest.raises(ValueError, match="^canvas: .* given, must be "):
        Predictor(detect.model, detect.variables, canvas)


def test_parameters_alone_are_not_all_variables(detect):
    for variables in (detect.variables["params"], {}, None):
        with pytest.raises(ValueError, match="^variables: no 'params' given, must be"):
            Predictor(detect.model, variables, CANVAS)
