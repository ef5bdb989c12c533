import jax.numpy as jnp
import numpy as np

from fpn_jax.ops.images import normalize
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_normalize_by_hand():
    image = jnp.array([[[[0, 255, 51]]]], jnp.uint8)
    pixel = normalize(image, jnp.array([[1, 1]]), mean=(0.5, 0.5, 0.0), std=(1, 0.5, 2))
    np.testing.assert_allclose(pixel, [[[[-0.5, 1.0, 0.1]]]], rtol=1e-6)


def test_padding_is_zero_whatever_it_held():
    images = jnp.full((2, 4, 5, 3), 200.0)
    sizes = jnp.array([[4, 5], [2, 3]])
    pixels = normalize(images, sizes, mean=MEAN, std=STD)
    inside = np.zeros((2, 4, 5), bool)
    inside[0], inside[1, :2, :3] = True, True
    np.testing.assert_array_equal(np.asarray(pixels != 0).all(axis=-1), inside)


def test_padding_may_be_pixels_of_a_value():
    images = jnp.full((1, 1, 2, 3), 51, jnp.uint8)
    mean, std = (0.0, 0.2, 0.0), (1, 1, 1 / 255)
    pixels = normalize(
        images, jnp.array([[1, 1]]), mean=mean, std=std, padding_value=102
    )
    expected = [[[[0.2, 0.0, 51], [0.4, 0.2, 102]]]]
    np.testing.assert_allclose(pixels, expected, rtol=1e-6, atol=1e-7)


def test_float_images_mean_the_same_as_uint8_images():
    images = jnp.arange(2 * 4 * 4 * 3, dtype=jnp.uint8).reshape(2, 4, 4, 3)
    sizes = jnp.array([[4, 4], [3, 4]])
    np.testing.assert_array_equal(
        normalize(images, sizes, mean=MEAN, std=STD),
        normalize(images.astype(jnp.float32), sizes, mean=MEAN, std=STD),
    )


def test_normalize_equals_torchvisions_transform():
    rng = np.random.default_rng(0)
    shapes = [(40, 64), (64, 50)]
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    transform = torchvision.models.detection.transform.GeneralizedRCNNTransform(
        min_size=64, max_size=64, image_mean=MEAN, image_std=STD, _skip_resize=True
    )
    tensors = [torch.tensor(image).permute(2, 0, 1) / 255 for image in images]
    theirs = transform(tensors)[0].tensors.permute(0, 2, 3, 1).numpy()
    canvas = np.zeros((2, 64, 64, 3), np.uint8)
    for row, image in zip(canvas, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    ours = normalize(jnp.array(canvas), jnp.array(shapes), mean=MEAN, std=STD)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
