from functools import partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.nms import nms, select_detections
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()


def keep(boxes, scores, valid=None, *, iou_threshold=0.5):
    boxes, scores = jnp.asarray(boxes, jnp.float32), jnp.asarray(scores, jnp.float32)
    valid = jnp.ones(len(boxes), bool) if valid is None else jnp.asarray(valid)
    suppress = jax.jit(lambda *arrays: nms(*arrays, iou_threshold=iou_threshold))
    return np.asarray(suppress(boxes, scores, valid))


def proposals(seed, n, objects):
    """Boxes jittered about a few objects, as an RPN makes them, and distinct scores."""
    rng = np.random.default_rng(seed)
    center, side = rng.uniform(0, 800, (objects, 2)), rng.uniform(16, 300, (objects, 2))
    which = rng.integers(0, objects, n)
    center = center[which] + 0.15 * side[which] * rng.normal(size=(n, 2))
    side = side[which] * np.exp(0.2 * rng.normal(size=(n, 2)))
    boxes = np.concatenate([center - side / 2, center + side / 2], axis=1)
    return boxes.astype(np.float32), rng.permutation(n).astype(np.float32)


def strip(*spans):
    return [[start, 0, end, 1] for start, end in spans]


def test_lower_of_two_overlapping_boxes_is_dropped():
    boxes = strip((0, 10), (0, 9), (20, 30))
    np.testing.assert_array_equal(keep(boxes, [0.8, 0.9, 0.1]), [False, True, True])


def test_dropped_box_drops_nothing():
    # Each overlaps the next by 6 / 14 of the union, but not the one after.
    boxes = strip((0, 10), (4, 14), (8, 18), (12, 22))
    kept = keep(boxes, [0.9, 0.8, 0.7, 0.6], iou_threshold=0.4)
    np.testing.assert_array_equal(kept, [True, False, True, False])


def test_iou_equal_to_the_threshold_keeps_both():
    boxes = strip((0, 10), (0, 5))
    np.testing.assert_array_equal(keep(boxes, [0.9, 0.8]), [True, True])
    below = keep(boxes, [0.9, 0.8], iou_threshold=0.49)
    np.testing.assert_array_equal(below, [True, False])


def test_first_row_wins_at_equal_scores():
    boxes = strip((0, 10), (0, 9), (0, 8))
    np.testing.assert_array_equal(keep(boxes, [0.5] * 3), [True, False, False])


def test_invalid_boxes_are_not_kept_and_drop_nothing():
    boxes = strip((0, 10), (0, 9), (0, 8))
    kept = keep(boxes, [0.9, 0.8, 0.7], valid=[False, True, True])
    np.testing.assert_array_equal(kept, [False, True, False])


def test_one_long_chain_is_decided_to_its_end():
    # Box i drops box i + 1 only: the worst case for repeating, 100 rounds.
    boxes = strip(*((4 * i, 4 * i + 10) for i in range(100)))
    kept = keep(boxes, -np.arange(100), iou_threshold=0.4)
    np.testing.assert_array_equal(kept, np.arange(100) % 2 == 0)


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33])
def test_any_number_of_identical_boxes_leaves_one(n):
    kept = keep(np.tile([[0, 0, 9, 9]], (n, 1)), np.arange(n))
    np.testing.assert_array_equal(kept, np.arange(n) == n - 1)


@pytest.mark.parametrize("iou_threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("objects", [5, 30, 1000], ids=lambda n: f"{n}-objects")
def test_kept_boxes_are_torchvisions(objects, iou_threshold):
    for seed in range(3):
        boxes, scores = proposals(seed, 500, objects)
        theirs = torchvision.ops.nms(
            torch.tensor(boxes), torch.tensor(scores), iou_threshold
        )
        ours = keep(boxes, scores, iou_threshold=iou_threshold)
        np.testing.assert_array_equal(np.flatnonzero(ours), np.sort(theirs.numpy()))


def test_order_of_the_boxes_does_not_matter():
    boxes, scores = proposals(0, 200, 10)
    shuffle = np.random.default_rng(0).permutation(200)
    np.testing.assert_array_equal(
        keep(boxes[shuffle], scores[shuffle]), keep(boxes, scores)[shuffle]
    )


def test_padding_changes_nothing():
    boxes, scores = proposals(0, 70, 5)
    padded = keep(
        np.concatenate([boxes, boxes]),
        np.concatenate([scores, scores + 1000]),
        np.arange(140) < 70,
    )
    np.testing.assert_array_equal(padded[:70], keep(boxes, scores))
    assert not padded[70:].any()


def test_a_batch_is_each_of_its_images():
    # The images need different numbers of rounds.
    batch = [proposals(seed, 100, objects) for seed, objects in ((0, 2), (1, 50))]
    boxes, scores = (jnp.array(np.stack(part)) for part in zip(*batch, strict=True))
    suppress = jax.vmap(lambda *arrays: nms(*arrays, iou_threshold=0.5))
    together = jax.jit(suppress)(boxes, scores, jnp.ones((2, 100), bool))
    alone = [keep(boxes, scores) for boxes, scores in batch]
    np.testing.assert_array_equal(together, alone)


def test_threshold_outside_of_0_to_1_is_refused():
    with pytest.raises(ValueError, match="iou_threshold is 50.0, not between 0 and 1"):
        keep(strip((0, 1)), [1.0], iou_threshold=50.0)


def test_boxes_of_different_labels_do_not_drop_each_other():
    boxes, scores = jnp.array(strip((0, 10), (0, 9), (0, 8))) * 1.0, jnp.arange(3.0)
    kept = nms(
        boxes,
        scores,
        jnp.ones(3, bool),
        iou_threshold=0.5,
        labels=jnp.array([0, 1, 0]),
    )
    np.testing.assert_array_equal(kept, [False, True, True])


def candidates(seed, n, objects, classes):
    """Proposals with labels and scores, each score shared by three of them."""
    boxes, ranks = proposals(seed, n, objects)
    labels = np.random.default_rng(seed).integers(0, classes, n).astype(np.int32)
    return boxes, (ranks // 3 / n).astype(np.float32), labels


@partial(jax.jit, static_argnames=("iou_threshold", "max_detections"))
def select(boxes, scores, labels, *, iou_threshold=0.5, max_detections=100):
    return select_detections(
        boxes,
        scores,
        labels,
        scores > 0,
        iou_threshold=iou_threshold,
        max_detections=max_detections,
    )


def greedy(boxes, scores, labels, iou_threshold, max_detections):
    """Returns torchvision's rows, class by class, ties in the order of the rows."""
    kept = np.zeros(len(boxes), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero((labels == label) & (scores > 0))
        # In falling order already, so that a sort which is not stable cannot matter.
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        distinct = np.arange(len(rows), 0, -1, dtype=np.float32)
        stay = torchvision.ops.nms(
            torch.tensor(boxes[rows]), torch.tensor(distinct), iou_threshold
        )
        kept[rows[stay.numpy()]] = True
    rows = np.flatnonzero(kept)
    return rows[np.argsort(-scores[rows], kind="stable")][:max_detections]


def equal_rows(found, boxes, scores, labels, rows):
    num = len(rows)
    np.testing.assert_array_equal(found.valid, np.arange(len(found.valid)) < num)
    np.testing.assert_array_equal(found.boxes[:num], boxes[rows])
    np.testing.assert_array_equal(found.scores[:num], scores[rows])
    np.testing.assert_array_equal(found.labels[:num], labels[rows])
    assert not found.boxes[num:].any() and not found.scores[num:].any()


@pytest.mark.parametrize(
    "n, objects, classes, most",
    [
        (500, 40, 5, 100),  # one block
        (5000, 200, 91, 300),  # the dense heads': most boxes are alone in their class
        (5000, 10, 3, 300),  # every block, and fewer boxes than asked for
        (3000, 3000, 1, 2000),  # more detections than a block
        (0, 1, 1, 10),
    ],
)
def test_detections_are_torchvisions_nms_of_every_class(n, objects, classes, most):
    boxes, scores, labels = candidates(0, n, objects, classes)
    found = select(boxes, scores, labels, max_detections=most)
    equal_rows(found, boxes, scores, labels, greedy(boxes, scores, labels, 0.5, most))


def test_boxes_kept_from_one_block_drop_those_of_the_next():
    # 1500 copies of one box go before a second box that the first ones drop.
    boxes = np.array(strip((0, 10)) * 1500 + strip((0, 9), (20, 30)), np.float32)
    scores = np.linspace(1, 0.5, len(boxes), dtype=np.float32)
    found = select(boxes, scores, np.zeros(len(boxes), np.int32))
    assert found.valid.sum() == 2
    np.testing.assert_array_equal(found.boxes[:2], strip((0, 10), (20, 30)))


def test_detections_of_a_batch_are_those_of_each_image():
    # The first needs one block, the second all, the third none.
    images = [candidates(seed, 5000, 10**seed, 3) for seed in (3, 1)]
    images.append((images[0][0], 0 * images[0][1], images[0][2]))
    together = jax.jit(jax.vmap(select))(*map(np.stack, zip(*images, strict=True)))
    for number, image in enumerate(images):
        found = jax.tree.map(itemgetter(number), together)
        equal_rows(found, *image, greedy(*image, 0.5, 100))


def test_no_detections_asked_for_is_refused():
    with pytest.raises(ValueError, match="max_detections is 0, and must be at least 1"):
        select(jnp.zeros((1, 4)), jnp.ones(1), jnp.zeros(1, int), max_detections=0)


def test_kept_detections_have_the_gradient_of_their_rows():
    boxes = jnp.asarray(strip((0, 10), (0, 9), (20, 30)), jnp.float32)
    scores, labels = jnp.array([0.8, 0.9, 0.3]), jnp.zeros(3, jnp.int32)

    def found(boxes, scores):
        kept = select_detections(
            boxes,
            scores,
            labels,
            scores > 0.5,
            iou_threshold=0.5,
            max_detections=2,
        )
        return kept.scores.sum() + 2 * kept.boxes[:, 2].sum()

    # Row 1 drops row 0, and row 2 is below the threshold.
    of_boxes, of_scores = jax.jit(jax.grad(found, (0, 1)))(boxes, scores)
    np.testing.assert_array_equal(of_scores, [0, 1, 0])
    np.testing.assert_array_equal(of_boxes[:, 2], [0, 2, 0])
    np.testing.assert_array_equal(of_boxes[:, :2], 0)
