"""The first steps of every composition: from pixels to the pyramid that heads see."""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpn_jax.detectors.fields import check_names, has
from fpn_jax.ops.images import normalize
from fpn_jax.types import Pyramid, Targets

ChannelOrder = Literal["rgb", "bgr"]


def pyramid(
    detector: nn.Module,
    images: jax.Array,
    sizes: jax.Array,
    *,
    train: bool,
    channel_order: ChannelOrder = "rgb",
    padding_value: float | None = None,
) -> Pyramid:
    """Returns the levels of the detector's neck.

    To be called in a method of the detector, which has the submodules `backbone` and
    `neck` and the statistics of RGB images `image_mean` and `image_std`.

    Args:
        detector: see above.
        images: [B, H, W, 3], RGB.
        sizes: [B, 2], height and width of each image.
        train: whether this is a step of training.
        channel_order: of the pixels that the backbone is given.
        padding_value: of pixels outside an image; None: the mean.

    Raises ValueError for images or sizes of another shape: one image alone, channels
    first.
    """
    if images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            f"images must be [batch, height, width, 3], got {list(images.shape)}"
        )
    if sizes.shape != (images.shape[0], 2):
        raise ValueError(
            "sizes must be [batch, 2], the height and width of each image, got "
            f"{list(sizes.shape)} for a batch of {images.shape[0]}"
        )
    mean, std = detector.image_mean, detector.image_std
    pixels = normalize(images, sizes, mean=mean, std=std, padding_value=padding_value)
    if channel_order == "bgr":
        pixels = pixels[..., ::-1]
    return detector.neck(detector.backbone(pixels, train=train), train=train)


def check_targets(images: jax.Array, targets: Targets, keys: jax.Array) -> None:
    """Raises ValueError where ground truth or keys are not of this batch, by shapes.

    What the labels are is not known inside a program: a label that is none of 0 … K-1
    teaches that the object is background.
    """
    batch, boxes = images.shape[0], targets.boxes.shape
    if len(boxes) != 3 or boxes[0] != batch or boxes[2] != 4:
        raise ValueError(
            f"targets.boxes must be [batch, boxes, 4], got {list(boxes)} for a batch "
            f"of {batch}"
        )
    for name in ("labels", "valid", "crowd"):
        if (shape := getattr(targets, name).shape) != boxes[:2]:
            raise ValueError(
                f"targets.{name} must be {list(boxes[:2])} as targets.boxes, got "
                f"{list(shape)}"
            )
    one = () if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) else keys.shape[-1:]
    if keys.shape != (batch, *one):
        raise ValueError(
            f"keys must be one for each image, jax.random.split(key, {batch}), got "
            f"{list(keys.shape)}"
        )


def canvas_of(images: jax.Array) -> tuple[int, int]:
    """Returns the height and width of images [B, H, W, 3]."""
    _, height, width, _ = images.shape
    return height, width


def frozen_parts(backbone: nn.Module, name: str = "backbone") -> tuple[str, ...]:
    """Returns the frozen parts of a detector whose submodule `name` is the backbone."""
    frozen = backbone.frozen if has(backbone, "frozen") else ()
    check_names(f"model.{name}.frozen", frozen)
    return tuple(f"{name}/{part}" for part in frozen)


def anchored(head: nn.Module) -> nn.Module | None:
    """Returns a head that has anchors of given sizes and ratios, and no other."""
    needed = ("anchor_sizes", "anchor_ratios", "places")
    return head if all(has(head, name) for name in needed) else None


def first_stage_grids(
    detector: nn.Module, canvas: tuple[int, int]
) -> dict[int, tuple[int, int]]:
    """The rows and columns of each level that the first stage sees on a canvas.

    Nothing is computed. Raises ValueError for a detector that is not made of a backbone
    and a neck as ours are.
    """
    owner = getattr(detector, "proposals", detector)  # of a Fast R-CNN
    needed = ("backbone", "neck", "image_mean", "image_std")
    if missing := next((name for name in needed if not has(owner, name)), None):
        raise ValueError(
            f"the detector's levels are not known: {type(owner).__name__} has no "
            f"{missing}"
        )
    images, sizes = jnp.zeros((1, *canvas, 3), jnp.uint8), jnp.array([canvas])
    levels = partial(pyramid, train=False)
    features, _ = jax.eval_shape(
        partial(owner.init_with_output, method=levels), jax.random.key(0), images, sizes
    )
    return {level: features[level].shape[1:3] for level in sorted(features)}
