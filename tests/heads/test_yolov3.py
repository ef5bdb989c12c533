"""YOLOv3 against a PyTorch twin by loops over boxes; targets and decoding by hand."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.yolov3 import YOLOv3Head, YOLOv3Outputs
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.types import Targets
from tests.support.twins import assert_equals_twin, conv, norm, overlap, sigmoid

torch, _ = import_torchvision()

CANVAS = (64, 96)
GRIDS = {3: (8, 12), 4: (4, 6)}
SHAPES = (((8, 10), (14, 12)), ((24, 20), (50, 40)))
NUM_ANCHORS = 2 * sum(height * width for height, width in GRIDS.values())
WIDTH, CLASSES = 6, 3
HEAD = YOLOv3Head(CLASSES, anchor_shapes=SHAPES)
# Two of the same anchor, a large one, a crowd region, and padding.
BOXES = [[10, 9, 19, 18], [10, 10, 18, 19], [30, 10, 82, 48], [50, 4, 62, 20], [0] * 4]


def targets() -> Targets:
    rows = jnp.array([BOXES, BOXES[2:] + BOXES[:2]], jnp.float32)
    return Targets(
        boxes=rows,
        labels=jnp.array([[0, 1, 2, 1, 0]] * 2),
        valid=(rows[..., 2] > 0),
        crowd=jnp.zeros(rows.shape[:2], bool).at[0, 3].set(True),
    )


def anchors() -> list[tuple[int, int, int, tuple[int, int]]]:
    """Column, row, stride and shape of every anchor."""
    return [
        (x, y, 2**level, shape)
        for (level, (height, width)), shapes in zip(GRIDS.items(), SHAPES, strict=True)
        for y in range(height)
        for x in range(width)
        for shape in shapes
    ]


def assignment(boxes) -> tuple[dict[int, int], set[int]]:
    """{anchor: box}, and the anchors that are ignored."""
    owners, ignored = {}, set()
    for g, (x1, y1, x2, y2) in enumerate(boxes):
        here = (0, 0, x2 - x1, y2 - y1)
        shapes = [shape for shapes in SHAPES for shape in shapes]
        best = max(shapes, key=lambda shape: overlap((0, 0, *shape), here))
        for n, (x, y, stride, shape) in enumerate(anchors()):
            cell = (x1 + x2) / 2 // stride, (y1 + y2) / 2 // stride
            if shape == best and cell == (x, y):
                owners.setdefault(n, g)
    for n, (x, y, stride, (width, height)) in enumerate(anchors()):
        x, y = (x + 0.5) * stride, (y + 0.5) * stride
        box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        if n not in owners and any(overlap(box, other) >= 0.5 for other in boxes):
            ignored.add(n)
    return owners, ignored


def test_the_assignment_by_hand():
    grids = HEAD.anchors(GRIDS)
    boxes = jnp.array([BOXES[0], BOXES[2]], jnp.float32)
    match = jax.jit(HEAD.assign)(grids, boxes, jnp.ones(2, bool))
    # 9x9 px is most like 8x10 (72 of 99) in the cell of (14, 13): row 1, column 1 of
    # 12 cells. 52x38 is most like 50x40 in the cell of (56, 29) among 16 px: row 1,
    # column 3 of 6, behind the 192 anchors of the finer level.
    assert np.flatnonzero(match.positive).tolist() == [26, 192 + 19]
    assert match.index[26] == 0 and match.index[192 + 19] == 1
    ignored = np.flatnonzero(~match.positive & ~match.negative).tolist()
    # 50x40 px a cell lower, around (56, 40), share 50x28 with the box: 1400 of 2576.
    # A cell aside, around (72, 24), they share 35x34: 1190 of 2786.
    assert ignored == [192 + 31]


def test_the_assignment_is_that_of_loops():
    random = np.random.default_rng(0)
    assign = jax.jit(HEAD.assign)
    positives = ignored = 0
    for _ in range(50):
        corner = random.uniform(0, 50, (6, 2))
        sides = random.uniform(2, 60, (6, 1)) * random.uniform(0.6, 1.4, (6, 2))
        count = random.integers(0, 7)
        boxes = np.hstack([corner, corner + sides]).astype(np.float32)
        match = assign(HEAD.anchors(GRIDS), boxes, np.arange(6) < count)
        owners, left_out = assignment(boxes[:count].tolist())
        rows = np.flatnonzero(match.positive)
        assert {n: int(match.index[n]) for n in rows} == owners
        found = np.flatnonzero(~match.positive & ~match.negative)
        assert set(found) == left_out
        positives, ignored = positives + len(rows), ignored + len(left_out)
    assert positives > 100 and ignored > 30


class Twin(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1, bias=False),
                torch.nn.BatchNorm2d(2 * WIDTH),
                torch.nn.LeakyReLU(0.1),
            )
            for _ in GRIDS
        )
        self.last = torch.nn.ModuleList(
            torch.nn.ModuleList(
                torch.nn.Conv2d(2 * WIDTH, 2 * size, 1) for size in (CLASSES, 4, 1)
            )
            for _ in GRIDS
        )

    def forward(self, maps):
        x = [block(x) for block, x in zip(self.blocks, maps, strict=True)]
        return [self.last[i][kind](x[i]) for kind in range(3) for i in range(len(x))]


def leaves(twin: Twin, read) -> dict:
    tree = {}
    for i, level in enumerate(GRIDS):
        block = twin.blocks[i]
        tree[f"conv{level}"] = conv(block[0], read) | norm(block[1], read)
        names = ("class_logits", "box_deltas", "objectness")
        for name, module in zip(names, twin.last[i], strict=True):
            tree[f"{name}{level}"] = conv(module, read)
    return tree


def twin_loss(maps, truth: Targets):
    """The sum of the three losses, by loops over images and anchors."""
    batch = len(maps[0])
    rows = [x.permute(0, 2, 3, 1) for x in maps]
    logits, deltas, objectness = (
        torch.cat([x.reshape(batch, -1, size) for x in rows[2 * i : 2 * i + 2]], dim=1)
        for i, size in enumerate((CLASSES, 4, 1))
    )
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    total, count = 0, 0
    for i in range(batch):
        real = np.asarray(truth.valid[i] & ~truth.crowd[i])
        boxes = np.asarray(truth.boxes[i])[real].tolist()
        labels = np.asarray(truth.labels[i])[real].tolist()
        owners, ignored = assignment(boxes)
        for n, (x, y, stride, (width, height)) in enumerate(anchors()):
            if n in ignored:
                continue
            wanted = torch.tensor([float(n in owners)])
            total = total + bce(objectness[i, n], wanted)
            if n not in owners:
                continue
            x1, y1, x2, y2 = boxes[owners[n]]
            place = [(x1 + x2) / 2 / stride - x, (y1 + y2) / 2 / stride - y]
            total = total + bce(deltas[i, n, :2], torch.tensor(place), reduction="sum")
            for delta, side, own in (
                (deltas[i, n, 2], x2 - x1, width),
                (deltas[i, n, 3], y2 - y1, height),
            ):
                total = total + (delta - math.log(side / own)) ** 2 / 2
            of_class = torch.zeros(CLASSES)
            of_class[labels[owners[n]]] = 1
            total = total + bce(logits[i, n], of_class, reduction="sum")
            count += 1
    return total / count


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


def outputs_of(batch: int = 1) -> YOLOv3Outputs:
    def fill(value, channels):
        return {
            level: jnp.full((batch, *grid, 2 * channels), value)
            for level, grid in GRIDS.items()
        }

    return YOLOv3Outputs(fill(-9.0, CLASSES), fill(0.0, 4), fill(-9.0, 1))


def test_detections_by_hand():
    outputs = outputs_of()
    # The second anchor, 14x12, of the cell in row 1 and column 2 of the finer level.
    outputs.logits[3] = outputs.logits[3].at[0, 1, 2, 3:].set(jnp.array([-9.0, 2, 1]))
    outputs.objectness[3] = outputs.objectness[3].at[0, 1, 2, 1].set(1.0)
    deltas = jnp.array([0.0, np.log(3), np.log(2), 0.0])
    outputs.deltas[3] = outputs.deltas[3].at[0, 1, 2, 4:].set(deltas)
    detect = jax.jit(partial(HEAD.detections, canvas=CANVAS))
    found = detect(outputs, jnp.array([[60, 30]]))
    assert np.flatnonzero(found.valid[0]).tolist() == [0, 1]
    assert found.labels[0, :2].tolist() == [1, 2]
    # In the middle of 16 … 24 px, three quarters down 8 … 16; 28x12 px, cut off at 30.
    np.testing.assert_allclose(found.boxes[0, :2], [[6, 8, 30, 20]] * 2, atol=1e-5)
    scores = [sigmoid(1.0) * sigmoid(2.0), sigmoid(1.0) * sigmoid(1.0)]
    np.testing.assert_allclose(found.scores[0, :2], scores, rtol=1e-5)


def test_padding_of_the_batch_changes_nothing():
    loss = jax.jit(partial(HEAD.loss, canvas=CANVAS))
    one = loss(
        outputs_of(),
        jnp.array([CANVAS]),
        jax.tree.map(lambda x: x[:1], targets()),
    )
    two = loss(outputs_of(2), jnp.array([CANVAS, (0, 0)]), targets())
    for name, term in one.items():
        np.testing.assert_allclose(two[name].total, term.total, rtol=1e-6)
        assert two[name].count == term.count == 2


def test_without_objects_only_the_objectness_has_a_gradient():
    nothing = targets().replace(valid=jnp.zeros((2, 5), bool))

    def total(outputs):
        terms = HEAD.loss(outputs, jnp.array([CANVAS] * 2), nothing, canvas=CANVAS)
        return sum(term.total for term in terms.values())

    grads = jax.jit(jax.grad(total))(outputs_of(2))
    for level in GRIDS:
        assert (grads.logits[level] == 0).all() and (grads.deltas[level] == 0).all()
        np.testing.assert_allclose(grads.objectness[level], sigmoid(-9.0), rtol=1e-3)


def test_shapes_that_do_not_suit_the_levels_are_refused():
    features = {3: jnp.ones((1, 4, 4, WIDTH))}
    with pytest.raises(ValueError, match=r"anchor_shapes .* levels \[3\]"):
        HEAD.init(jax.random.key(0), features)
