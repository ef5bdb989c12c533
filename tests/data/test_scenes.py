import itertools

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from fpn_jax.data import scenes as drawing
from fpn_jax.data.scenes import draw_scene, load_material


@pytest.fixture(scope="module")
def train():
    return load_material("train")


@pytest.fixture(scope="module")
def scenes(train):
    return [draw_scene(train, "train", number) for number in range(150)]


def test_a_scene_is_the_same_whenever_it_is_drawn(train, scenes):
    again = draw_scene(train, "train", 3)
    for array, expected in zip(again, scenes[3], strict=True):
        np.testing.assert_array_equal(array, expected)


def test_scenes_differ_by_number_and_split(train, scenes):
    images = {scene.image.tobytes() for scene in scenes}
    images.add(draw_scene(train, "validation", 0).image.tobytes())
    assert len(images) == len(scenes) + 1


def test_splits_share_no_scan_and_use_all():
    used = [{scan.tobytes() for scan in load_material(s).scans} for s in drawing.SPLITS]
    assert not used[0] & used[1]
    assert len(used[0] | used[1]) == 1797


def test_splits_hold_every_digit_about_equally():
    for split in drawing.SPLITS:
        counts = np.bincount(load_material(split).labels, minlength=10)
        assert counts.min() > 0.85 * counts.mean()


def test_splits_are_separate_regions_that_make_up_the_photographs():
    left, right = (load_material(split).photographs for split in drawing.SPLITS)
    for *regions, whole in zip(left, right, load_sample_images().images, strict=True):
        np.testing.assert_array_equal(np.hstack(regions), whole)


def test_small_medium_and_large_digits_are_common(scenes):
    sides = np.vstack([scene.boxes[:, 2:] - scene.boxes[:, :2] for scene in scenes])
    shares = np.histogram(sides.prod(axis=1), [0, 32**2, 96**2, 320**2])[0] / len(sides)
    assert shares.min() > 0.07
    assert shares.sum() == 1


def test_numbers_of_digits_go_from_none_to_twelve(scenes):
    counts = {len(scene.boxes) for scene in scenes}
    assert counts == set(range(13))


def test_boxes_lie_inside_and_hardly_overlap(scenes):
    for scene in scenes:
        assert (scene.boxes >= 0).all() and (scene.boxes <= drawing.SCENE_SIZE).all()
        for a, b in itertools.combinations(scene.boxes, 2):
            sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            smaller = min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod())
            assert np.clip(sides, 0, None).prod() <= 0.1 * smaller


def test_a_box_is_tight_around_the_ink_that_is_half_opaque(train):
    black = np.zeros((256, 256, 3), np.uint8)
    material = train._replace(photographs=[black])
    scenes = (draw_scene(material, "train", number) for number in range(100))
    alone = [scene for scene in scenes if len(scene.boxes) == 1]
    assert len(alone) >= 3
    for scene in alone:
        brightness = scene.image.max(axis=2).astype(float)
        ys, xs = np.nonzero(brightness >= 0.5 * brightness.max())
        seen = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        # A pixel: at the edge the 8 bits of the image round across one half.
        np.testing.assert_allclose(scene.boxes[0], seen, atol=1)
