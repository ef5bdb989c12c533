import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.ops.objects import learnable
from fpn_jax.types import Targets


def two_images(fill: float) -> Targets:
    """Returns an object, a crowd region and padding, of an image and of padding."""
    box = jnp.array([1.0, 2, 3, 4])
    return Targets(
        boxes=jnp.stack([jnp.stack([box, box, jnp.full(4, fill)])] * 2),
        labels=jnp.array([[1, 2, 255]] * 2),
        valid=jnp.array([[True, True, False]] * 2),
        crowd=jnp.array([[False, True, False]] * 2),
        keypoints=jnp.full((2, 3, 5, 3), fill).at[:, 0].set(1),
    )


def test_only_objects_of_images_are_left_whatever_others_hold():
    for fill in (np.nan, np.inf, 1e30):
        found = learnable(two_images(fill), jnp.array([[8, 8], [0, 0]]))
        np.testing.assert_array_equal(found.valid, [[True, False, False], [False] * 3])
        np.testing.assert_array_equal(found.boxes[0], [[1, 2, 3, 4], [0] * 4, [0] * 4])
        np.testing.assert_array_equal(found.labels, [[1, 0, 0], [0, 0, 0]])
        np.testing.assert_array_equal(found.keypoints[0, 1:], 0)
        assert not np.any(found.boxes[1]) and not np.any(found.keypoints[1])
        assert found.masks is None


def test_no_rows_become_one_of_padding():
    none = jax.tree.map(lambda x: x[:, :0], two_images(0))
    found = learnable(none)
    assert found.boxes.shape == (2, 1, 4) and found.keypoints.shape == (2, 1, 5, 3)
    assert not found.valid.any()
