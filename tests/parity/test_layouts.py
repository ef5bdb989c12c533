"""Arrays become tensors of the other layout, and come back."""

import numpy as np

from fpn_jax.parity.layouts import (
    image_tensor,
    numpy_state,
    tensor_state,
    to_nhwc,
    to_torch,
)
from fpn_jax.parity.live_torchvision import import_torchvision

torch, _ = import_torchvision()


def test_channels_move_behind_the_batch_and_back():
    images = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    tensor = to_torch(images)
    assert tensor.shape == (2, 5, 3, 4)
    assert tensor[1, 4, 2, 3] == images[1, 2, 3, 4]
    np.testing.assert_array_equal(to_nhwc(tensor.requires_grad_()), images)


def test_an_image_is_given_as_shares_of_white():
    image = np.zeros((2, 3, 3), np.uint8)
    image[1, 2] = 0, 51, 255
    tensor = image_tensor(image)
    assert tensor.shape == (3, 2, 3) and tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor[:, 1, 2], [0, 0.2, 1])


def test_a_loaded_state_is_not_the_memory_that_it_was_read_from():
    layer = torch.nn.Linear(2, 1)
    tensors = tensor_state(numpy_state(layer))
    with torch.no_grad():
        layer.weight.zero_()
    assert tensors["weight"].abs().min() > 0
