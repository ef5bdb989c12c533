"""YOLOX against a PyTorch twin with a plain-loop SimOTA; its decoding by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.yolox import YOLOXHead, YOLOXOutputs
from fpn_jax.ops.anchors import grids_of
from fpn_jax.parity.live_torchvision import import_torchvision
from tests.support.simota import (
    CANVAS,
    CLASSES,
    GRIDS,
    LEVELS,
    NUM_CELLS,
    simota,
    targets,
    twin_loss,
)
from tests.support.twins import assert_equals_twin, conv, norm, sigmoid

torch, _ = import_torchvision()

WIDTH = 8
HEAD = YOLOXHead(CLASSES)


def test_the_assignment_is_that_of_a_plain_loop_in_100_random_cases():
    random = np.random.default_rng(0)
    empty = outputs_of(np.zeros((1, NUM_CELLS, 5 + CLASSES)))
    places = HEAD.places(grids_of(empty.deltas), canvas=CANVAS)
    squares = jnp.concatenate(list(places.values()))
    assign = jax.jit(HEAD.assign)
    taken = 0
    for _ in range(100):
        count = random.integers(0, 6)
        corner = random.uniform(0, 60, (6, 2))
        wanted = np.hstack([corner, corner + random.uniform(1, 40, (6, 2))])
        labels = random.integers(0, CLASSES, 6)
        boxes = np.asarray(squares) + random.normal(size=(NUM_CELLS, 4)) * 6
        boxes = np.hstack([boxes[:, :2], np.maximum(boxes[:, 2:], boxes[:, :2] + 1)])
        near = random.integers(0, NUM_CELLS, 20)
        boxes[near] = wanted[random.integers(0, 6, 20)] + random.normal(size=(20, 4))
        logits = random.normal(size=(NUM_CELLS, CLASSES))
        objectness = random.normal(size=NUM_CELLS)
        expected = simota(boxes, logits, objectness, wanted[:count], labels)
        match, iou = assign(
            *map(jnp.float32, (boxes, logits, objectness)),
            squares,
            jnp.float32(wanted),
            labels,
            np.arange(6) < count,
        )
        rows = np.flatnonzero(match.positive)
        assert rows.tolist() == sorted(expected)
        assert [match.index[n] for n in rows] == [expected[n][0] for n in rows]
        np.testing.assert_allclose(
            iou[rows], [expected[n][1] for n in rows], rtol=1e-4, atol=1e-6
        )
        np.testing.assert_array_equal(match.negative, ~match.positive)
        taken += len(rows)
    assert taken > 300


class Twin(torch.nn.Module):
    def __init__(self):
        super().__init__()

        def block(kernel):
            return torch.nn.Sequential(
                torch.nn.Conv2d(WIDTH, WIDTH, kernel, padding=kernel // 2, bias=False),
                torch.nn.BatchNorm2d(WIDTH, eps=1e-3),
                torch.nn.SiLU(),
            )

        def last(outputs):
            return torch.nn.Conv2d(WIDTH, outputs, 1)

        def each(make):
            return torch.nn.ModuleList(make() for _ in LEVELS)

        self.stem = each(lambda: block(1))
        self.class_tower = each(lambda: torch.nn.Sequential(block(3), block(3)))
        self.box_tower = each(lambda: torch.nn.Sequential(block(3), block(3)))
        self.logits = each(lambda: last(CLASSES))
        self.deltas = each(lambda: last(4))
        self.objectness = each(lambda: last(1))

    def forward(self, maps):
        x = [stem(x) for stem, x in zip(self.stem, maps, strict=True)]
        classes = [f(x) for f, x in zip(self.class_tower, x, strict=True)]
        boxes = [f(x) for f, x in zip(self.box_tower, x, strict=True)]
        return [
            *(f(x) for f, x in zip(self.logits, classes, strict=True)),
            *(f(x) for f, x in zip(self.deltas, boxes, strict=True)),
            *(f(x) for f, x in zip(self.objectness, boxes, strict=True)),
        ]


def leaves(twin: Twin, read) -> dict:
    tree = {}
    for i, level in enumerate(LEVELS):
        blocks = {
            f"stem{level}": twin.stem[i],
            **{f"class{level}_conv{j}": twin.class_tower[i][j] for j in range(2)},
            **{f"box{level}_conv{j}": twin.box_tower[i][j] for j in range(2)},
        }
        for name, block in blocks.items():
            tree[name] = conv(block[0], read) | norm(block[1], read)
        tree[f"class_logits{level}"] = conv(twin.logits[i], read)
        tree[f"box_deltas{level}"] = conv(twin.deltas[i], read)
        tree[f"objectness{level}"] = conv(twin.objectness[i], read)
    return tree


def test_outputs_loss_and_gradients_equal_the_twins():
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    features = {
        level: random.normal(size=(2, *grid, WIDTH)).astype(np.float32)
        for level, grid in GRIDS.items()
    }
    sizes = jnp.array([CANVAS] * 2)

    def loss(outputs):
        terms = HEAD.loss(outputs, sizes, targets(), canvas=CANVAS).values()
        return sum(term.total / term.count for term in terms)

    assert_equals_twin(
        HEAD,
        Twin(),
        features,
        leaves,
        our_loss=loss,
        their_loss=partial(twin_loss, truth=targets()),
    )


def outputs_of(rows: np.ndarray) -> YOLOXOutputs:
    """The outputs with these values [B, N, 4 + 1 + K]: deltas, objectness, logits."""
    ends = np.cumsum([height * width for height, width in GRIDS.values()])[:-1]
    levels = {
        level: jnp.float32(x.reshape(len(x), *GRIDS[level], -1))
        for level, x in zip(LEVELS, np.split(rows, ends, axis=1), strict=True)
    }
    return YOLOXOutputs(
        logits={level: x[..., 5:] for level, x in levels.items()},
        deltas={level: x[..., :4] for level, x in levels.items()},
        objectness={level: x[..., 4:5] for level, x in levels.items()},
    )


def rows_of(**cells) -> np.ndarray:
    """Values of one image: -9 everywhere, deltas 0, but those given by cell number."""
    rows = np.concatenate(
        [np.zeros((NUM_CELLS, 4)), np.full((NUM_CELLS, 1 + CLASSES), -9.0)], axis=1
    )
    for name, values in cells.items():
        rows[int(name.removeprefix("cell"))] = values
    return rows[None]


def test_detections_by_hand():
    # Cell 13 is row 1, column 1 of the 12 of P3; cell 96 the first of P4.
    rows = rows_of(
        cell13=[0.5, 0.5, np.log(2), 0, 2.0, -9, 1.0, -9],
        cell96=[1, 1, 0, 0, 1.0, 0.0, 0.5, -9],
    )
    detect = jax.jit(partial(HEAD.detections, canvas=CANVAS))
    found = detect(outputs_of(rows), jnp.array([[60, 18]]))
    assert np.flatnonzero(found.valid[0]).tolist() == [0, 1]
    assert found.labels[0, :2].tolist() == [1, 1]
    # 16 x 8 px around (12, 12) and 16 x 16 around (16, 16), cut off at 18 px.
    expected = [[4, 8, 18, 16], [8, 8, 18, 24]]
    np.testing.assert_allclose(found.boxes[0, :2], expected, atol=1e-5)
    scores = [sigmoid(2.0) * sigmoid(1.0), sigmoid(1.0) * sigmoid(0.5)]
    np.testing.assert_allclose(found.scores[0, :2], scores, rtol=1e-5)


def test_boxes_are_not_clipped_or_cut_and_the_threshold_is_enough_as_released():
    # Of 80 strides, and with a score of the threshold to the last bit.
    rows = rows_of(cell13=[0.5, 0.5, np.log(80), 0, 0.0, -9, 0.0, -9])
    head = HEAD.clone(clipped=False, score_threshold=0.25)
    detect = jax.jit(partial(head.detections, canvas=CANVAS))
    found = detect(outputs_of(rows), jnp.array([[60, 18]]))
    assert found.valid[0].sum() == 1 and found.scores[0, 0] == 0.25
    np.testing.assert_allclose(found.boxes[0, 0], [-308, 8, 332, 16], rtol=1e-5)


def test_padding_of_targets_and_of_the_batch_changes_nothing():
    random = np.random.default_rng(1)
    outputs = outputs_of(random.normal(size=(2, NUM_CELLS, 5 + CLASSES)))
    loss = jax.jit(partial(HEAD.loss, canvas=CANVAS))
    one = loss(
        jax.tree.map(lambda x: x[:1], outputs), jnp.array([CANVAS]), targets(batch=1)
    )
    padded = targets()
    padded = padded.replace(boxes=padded.boxes.at[0, 4].set(jnp.float32([1, 1, 9, 9])))
    two = loss(outputs, jnp.array([CANVAS, (0, 0)]), padded)
    for name, term in one.items():
        np.testing.assert_allclose(two[name].total, term.total, rtol=1e-6)
        assert two[name].count == term.count > 0


def test_without_objects_only_the_objectness_has_a_gradient():
    nothing = targets().replace(valid=jnp.zeros((2, 5), bool))
    outputs = outputs_of(np.zeros((2, NUM_CELLS, 5 + CLASSES)))

    def total(outputs):
        terms = HEAD.loss(outputs, jnp.array([CANVAS] * 2), nothing, canvas=CANVAS)
        return sum(term.total for term in terms.values())

    grads = jax.jit(jax.grad(total))(outputs)
    for level in LEVELS:
        assert (grads.logits[level] == 0).all() and (grads.deltas[level] == 0).all()
        np.testing.assert_allclose(grads.objectness[level], 0.5)


@pytest.mark.parametrize("norm", [None, "batch"])
def test_objects_are_rare_before_training(norm):
    features = {3: jnp.ones((1, 4, 4, WIDTH))}
    head = HEAD.clone(norm=norm)
    outputs, _ = head.init_with_output(jax.random.key(0), features)
    assert jax.nn.sigmoid(outputs.objectness[3]).mean() < 0.05
