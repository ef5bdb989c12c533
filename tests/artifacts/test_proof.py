"""How far two programs are apart: numbers that one can see."""

import numpy as np
import pytest

from fpn_jax.artifacts.proof import on_canvas, prove_export

IMAGE = np.zeros((20, 40, 3), np.uint8)
BOXES = np.array([[0, 0, 10, 10], [20, 5, 30, 15]], np.float32)


def program(boxes=BOXES, scores=(0.9, 0.8), labels=(1, 1), **others):
    """Finds the same in every image."""

    def run(images, sizes):
        rows = {
            "boxes": np.asarray(boxes, np.float32),
            "scores": np.array(scores, np.float32),
            "labels": np.array(labels, np.int32),
            "valid": np.ones(len(scores), bool),
        } | others
        return {name: np.stack([x] * len(images)) for name, x in rows.items()}

    return run


def proof(theirs, ours=None):
    return prove_export(
        {"as used": ours or program()},
        theirs,
        [IMAGE],
        canvas=(32, 64),
        fit=(32, 64),
        batch=2,
    )


def test_a_program_is_not_apart_from_itself():
    same = proof(program())
    assert same == (2, 0, 0, 0.0, 0.0, None, "as used") and same.holds


def test_pixels_are_those_of_the_image():
    # 20 x 40 is scaled by 1.6 onto the canvas: 0.08 there are 0.05 in the image.
    assert proof(program(BOXES + np.float32(0.16))).box_px == pytest.approx(0.1, 1e-3)
    assert not proof(program(BOXES + np.float32(0.16))).holds
    assert proof(program(BOXES + np.float32(0.04))).holds


def test_ranks_may_change_but_not_classes():
    swapped = proof(program(BOXES[::-1], (0.8, 0.8)), program(scores=(0.8, 0.8)))
    assert swapped.holds and swapped.detections == 2
    other = proof(program(labels=(1, 0)))
    assert other.unmatched + other.ties == 2 and not other.holds


def test_a_missing_detection_is_not_overlooked():
    assert proof(program(BOXES[:1], (0.9,), (1,))).unmatched == 1


def test_scores_are_held_to_a_tenth_of_a_thousandth():
    assert proof(program(scores=(0.9, 0.80005))).holds
    assert not proof(program(scores=(0.9, 0.8002))).holds


def test_the_last_of_equal_scores_is_a_tie_and_no_other_is():
    # 90 alike, and a last one of two that are equally sure.
    many = np.tile(BOXES[:1], (90, 1)) + np.arange(0, 900, 10, np.float32)[:, None]
    boxes, labels = np.concatenate([many, BOXES + 2000]), [1] * 91
    scores = [0.9] * 90 + [0.3]

    def kept(last, score=0.3):
        rows = [*range(90), last]
        return program(boxes[rows], [*scores[:90], score], labels)

    tied = proof(kept(90), kept(91))
    assert (tied.unmatched, tied.ties) == (0, 2) and not tied.holds  # 2.2 % of 91
    assert proof(kept(90, 0.4), kept(91)).unmatched == 2


def test_a_keypoint_elsewhere_is_a_tie_where_the_peaks_are_equal():
    points = np.zeros((2, 3, 2), np.float32)
    moved = points.copy()
    moved[0, 1] = 3
    peaks = np.ones((2, 3), np.float32)
    ours = program(keypoints=points, keypoint_scores=peaks)
    tied = proof(program(keypoints=moved, keypoint_scores=peaks), ours)
    assert (tied.ties, tied.box_px) == (1, 0) and not tied.holds  # of two detections
    wrong = proof(program(keypoints=moved, keypoint_scores=peaks + 0.01), ours)
    assert (wrong.ties, wrong.box_px) == (0, pytest.approx(3 / 1.6))


def test_keypoints_of_a_side_that_rounds_up_to_another_pixel_are_a_tie():
    """On the canvas the first box is 16 pixels wide, or a little more."""
    wide = BOXES * np.float32(1.6)
    wider = wide + np.float32([[0, 0, 0.01, 0], [0, 0, 0, 0]])
    points, peaks = np.zeros((2, 3, 2), np.float32), np.ones((2, 3), np.float32)
    ours = program(wide, keypoints=points, keypoint_scores=peaks)

    def moved(by: float, boxes=wider):
        shifted = points + np.float32([[[by, 0]], [[0, 0]]])
        theirs = program(boxes, keypoints=shifted, keypoint_scores=peaks + 0.01)
        return proof(theirs, ours)

    tied = moved(0.6)
    assert tied.ties == 1 and tied.box_px == pytest.approx(0.01 / 1.6, 1e-2)
    assert not tied.holds  # of two detections
    assert moved(1.5).box_px == pytest.approx(1.5 / 1.6)  # more than that pixel
    assert moved(0.6, wide).box_px == pytest.approx(0.6 / 1.6)  # the same grid


def test_masks_are_held_in_their_box():
    full = np.ones((2, 14, 14), np.float32)
    half = full.copy()
    half[:, :, :7] = 0
    apart = proof(program(masks=half), program(masks=full))
    assert apart.mask_iou < 0.6 and not apart.holds


def test_images_lie_at_the_upper_left_of_zeros():
    white = np.full((20, 40, 3), 255, np.uint8)
    pixels, sizes = on_canvas([white], canvas=(32, 64), fit=(30, 60), batch=2)
    assert sizes.tolist() == [[30, 60], [0, 0]]
    assert (pixels[0, :30, :60] == 255).all()
    assert pixels.sum(dtype=int) == 30 * 60 * 3 * 255


def test_a_detector_that_differs_from_itself_may_be_met_in_either_way():
    """Rounding kept another proposal, where XLA did not fuse the network."""
    other = BOXES + np.float32([[0, 0, 0, 0], [9, 9, 9, 9]])
    ways = {"as used": program(), "otherwise": program(other)}
    sides = {"canvas": (32, 64), "fit": (32, 64), "batch": 2}

    met = prove_export(ways, program(other), [IMAGE], **sides)
    neither = prove_export(ways, program(BOXES[:1], (0.9,), (1,)), [IMAGE], **sides)

    assert (
        met.holds
        and met.compiled == "otherwise"
        and str(met).endswith(", beside otherwise")
    )
    assert not neither.holds and neither.compiled == "as used"
