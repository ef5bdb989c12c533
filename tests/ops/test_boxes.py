import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.boxes import (
    area,
    clip,
    decode_deltas,
    decode_ltrb,
    encode_deltas,
    encode_ltrb,
    giou,
    iou,
    pairwise_iou,
)
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()


def random_boxes(seed, n, largest=300):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 800, (n, 2))
    side = rng.uniform(1, largest, (n, 2))
    return np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def test_area_is_width_times_height():
    boxes = jnp.array([[0, 0, 3, 4], [1, 1, 1, 9]])
    np.testing.assert_array_equal(area(boxes), [12, 0])


def test_iou_by_hand():
    a = jnp.array([[0, 0, 4, 4]])
    b = jnp.array([[0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4], [1, 1, 3, 2]])
    # Overlap 4 of 16 + 16 - 4; sharing an edge is no overlap; 2 of 16 inside.
    np.testing.assert_allclose(pairwise_iou(a, b), [[1, 4 / 28, 0, 2 / 16]], rtol=1e-7)


def test_iou_of_empty_boxes_is_zero_not_nan():
    empty = jnp.array([[0.0, 0, 0, 0], [5, 5, 5, 9]])
    np.testing.assert_array_equal(pairwise_iou(empty, empty), np.zeros((2, 2)))


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_iou_is_torchvisions_to_the_last_bit(compile_):
    # Exact, because matching and suppression decide by ties and thresholds.
    a, b = random_boxes(0, 500), random_boxes(1, 400)
    ours = compile_(pairwise_iou)(jnp.array(a), jnp.array(b))
    theirs = torchvision.ops.box_iou(torch.tensor(a), torch.tensor(b))
    np.testing.assert_array_equal(ours, theirs.numpy())


def test_iou_of_a_batch_is_the_iou_of_each_image():
    a = jnp.array(random_boxes(0, 12)).reshape(3, 4, 4)
    b = jnp.array(random_boxes(1, 15)).reshape(3, 5, 4)
    one_by_one = [pairwise_iou(*pair) for pair in zip(a, b, strict=True)]
    np.testing.assert_array_equal(pairwise_iou(a, b), np.stack(one_by_one))


def test_clip_cuts_at_the_size_of_each_image():
    boxes = jnp.array([[[-5.0, 2, 30, 40]], [[-5, 2, 30, 40]]])
    sizes = jnp.array([[20, 10], [100, 100]])
    expected = [[[0, 2, 10, 20]], [[0, 2, 30, 40]]]
    np.testing.assert_array_equal(clip(boxes, sizes), expected)


def test_deltas_by_hand():
    anchor = jnp.array([[0.0, 0, 10, 20]])  # center (5, 10)
    box = jnp.array([[5.0, 0, 25, 20]])  # center (15, 10), twice as wide
    deltas = encode_deltas(box, anchor)
    np.testing.assert_allclose(deltas, [[1, 0, np.log(2), 0]], atol=1e-7)
    weighted = encode_deltas(box, anchor, (10, 10, 5, 5))
    np.testing.assert_allclose(weighted, [[10, 0, 5 * np.log(2), 0]], atol=1e-6)


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (10, 10, 5, 5)])
def test_decode_inverts_encode(weights):
    boxes, anchors = (jnp.array(random_boxes(seed, 200)) for seed in (0, 1))
    back = decode_deltas(encode_deltas(boxes, anchors, weights), anchors, weights)
    # 1e-3 px: a side of 1 px against an anchor 800 px away.
    np.testing.assert_allclose(back, boxes, atol=1e-3)


def test_decode_bounds_the_growth_of_a_side():
    anchor = jnp.array([[0.0, 0, 16, 16]])
    box = decode_deltas(jnp.array([[0.0, 0, 99, 99]]), anchor)
    np.testing.assert_allclose(box, [[-492, -492, 508, 508]], rtol=1e-5)


def test_decode_serves_many_deltas_per_anchor():
    deltas = jnp.zeros((2, 3, 4))
    anchors = jnp.array(random_boxes(0, 2))[:, None]
    boxes = decode_deltas(deltas, anchors)
    np.testing.assert_allclose(boxes, jnp.tile(anchors, (1, 3, 1)), atol=1e-4)


def test_deltas_of_padding_are_finite():
    boxes = jnp.array([[0.0, 0, 0, 0], [1, 2, 30, 40]])
    for pair in ((boxes, boxes[::-1]), (boxes[::-1], boxes)):
        assert jnp.isfinite(encode_deltas(*pair)).all()


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_deltas_equal_torchvisions(weights):
    coder = torchvision.models.detection._utils.BoxCoder(weights)
    boxes, anchors = random_boxes(0, 300), random_boxes(1, 300)
    theirs = coder.encode_single(torch.tensor(boxes), torch.tensor(anchors))
    ours = encode_deltas(jnp.array(boxes), jnp.array(anchors), weights)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-5)
    # Twice the deltas: some pass the bound on the sides.
    theirs = coder.decode_single(2 * theirs, torch.tensor(anchors)).reshape(-1, 4)
    ours = decode_deltas(2 * ours, jnp.array(anchors), weights)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("operator", [area, lambda b: encode_deltas(b, b)])
def test_arithmetic_is_float32_for_bfloat16_boxes(operator):
    boxes = jnp.array([[0, 0, 257, 255]], jnp.bfloat16)
    assert operator(boxes).dtype == jnp.float32
    np.testing.assert_array_equal(operator(boxes), operator(boxes.astype(jnp.float32)))


def test_iou_by_hand_and_its_gradient():
    a = jnp.float32([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 0, 0]])
    b = jnp.float32([[5, 0, 15, 10], [20, 0, 30, 10], [0, 0, 0, 0]])
    np.testing.assert_allclose(iou(a, b), [1 / 3, 0, 0], rtol=1e-6)
    gradient = jax.grad(lambda a: iou(a, b).sum())(a)
    # At x2 = 10: intersection 50 and union 150 grow by 10 and 0 for each pixel.
    np.testing.assert_allclose(gradient[0, 2], 10 / 150, rtol=1e-5)
    assert (gradient[1:] == 0).all()


def test_giou_by_hand():
    a = jnp.array([[0.0, 0, 2, 2]] * 3)
    b = jnp.array([[0.0, 0, 2, 2], [1, 0, 3, 2], [3, 0, 4, 2]])
    # The same box; 2 of 6 shared, and the hull is the union; nothing shared, a gap of
    # 2 in a hull of 8.
    np.testing.assert_allclose(giou(a, b), [1, 1 / 3, -1 / 4], atol=1e-6)


def test_giou_and_its_gradient_equal_torchvisions_loss():
    boxes, others = random_boxes(0, 300), random_boxes(1, 300)
    others[:50] = boxes[:50] + 3
    others[50:60, 2] = others[50:60, 0]  # no width
    tensor = torch.tensor(others, requires_grad=True)
    theirs = torchvision.ops.generalized_box_iou_loss(tensor, torch.tensor(boxes))
    theirs.sum().backward()
    ours, gradient = jax.vmap(jax.value_and_grad(lambda a, b: 1 - giou(a, b)))(
        jnp.array(others), jnp.array(boxes)
    )
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_giou_of_points_is_finite_and_so_is_its_gradient():
    box, point = jnp.array([3.0, 3, 9, 9]), jnp.full(4, 5.0)
    for pair in ((point, point), (point, box), (box, point)):
        value, gradient = jax.value_and_grad(giou)(*pair)
        assert jnp.isfinite(value) and jnp.isfinite(gradient).all()


def test_distances_to_the_sides_by_hand():
    box, points = jnp.array([[10.0, 20, 40, 60]]), jnp.array([[15, 30], [0, 70]])
    expected = [[5, 10, 25, 30], [-10, 50, 40, -10]]
    np.testing.assert_array_equal(encode_ltrb(box, points), expected)


def test_decoding_inverts_the_distances():
    boxes = jnp.array(random_boxes(0, 50))
    points = jnp.array(random_boxes(1, 50)[:, :2])
    back = decode_ltrb(encode_ltrb(boxes, points), points)
    np.testing.assert_allclose(back, boxes, atol=1e-3)
