"""A trained run, or a converted checkpoint, as a function from images to detections."""

from collections.abc import Sequence
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np

from fpn_jax.data.batch import padded_sides
from fpn_jax.data.bitmaps import paste_masks
from fpn_jax.data.example import Category
from fpn_jax.data.transforms import fit_scale_either_way, resize
from fpn_jax.detectors.fields import with_field
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.layers import Dtype
from fpn_jax.training.categories import Skeleton
from fpn_jax.training.run import check_detects, load_run
from fpn_jax.types import Detections


def load(
    run: str | Path,
    checkpoint: str = "best",
    *,
    dtype: Dtype = None,
    score_threshold: float | None = None,
    nms_threshold: float | None = None,
    max_detections: int | None = None,
    experiment: str | Path | None = None,
    trust: bool = False,
) -> "Detector":
    """Returns the detector of a run directory, ready to be called with images.

    Args:
        run: directory written by training or by `python -m fpn_jax.convert`.
        checkpoint: "best" by the metric of the run, "latest", or the number of a step.
        dtype: of the network's computation, "bfloat16" for speed on TPU and GPU; boxes,
            scores and suppression stay float32.
        score_threshold: lowest score of a detection. This and the next two are by
            default the model's own.
        nms_threshold: IoU above which the lower of two boxes of a class is dropped.
        max_detections: of an image.
        experiment: file that defines the classes of the run that are not of fpn_jax;
            nothing is imported unasked.
        trust: take them from the copy that the run keeps.
    """
    loaded = load_run(run, checkpoint, experiment=experiment, trust=trust)
    model = loaded.config.model
    check_detects(model, run)
    if dtype is not None:
        model = with_field(model, "dtype", dtype)
    changes = {
        "score_threshold": score_threshold,
        "nms_threshold": nms_threshold,
        "max_detections": max_detections,
    }
    model = with_final_fields(
        model, {k: v for k, v in changes.items() if v is not None}
    )
    canvas = loaded.config.data.canvas
    return Detector(model, loaded.variables, canvas, loaded.categories, loaded.skeleton)


class Detector:
    """Detections of images of any size, in their own pixels.

    An image is scaled to fit the canvas of the run (upright or turned; of COCO models
    that is torchvision's rule of a shorter side of 800 and a longer of at most 1333),
    and images of one call are padded to common sides, multiples of 32. From pixels to
    final boxes is one program, compiled once for each padded shape.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: dict,
        canvas: tuple[int, int],
        categories: Sequence[Category] = (),
        skeleton: Skeleton = (),
    ):
        self.model, self.variables, self.canvas = model, variables, canvas
        self.categories, self.skeleton = tuple(categories), skeleton
        self._detect = jax.jit(
            lambda variables, images, sizes: model.apply(
                variables, images, sizes, method="detect"
            )
        )

    def __call__(
        self, images: np.ndarray | Sequence[np.ndarray]
    ) -> Detections | list[Detections]:
        """Returns the detections of an image, or a list for a list of images.

        An image [H, W, 3] is RGB, uint8 or float32 in 0 … 255. The arrays of an image's
        detections are NumPy's, without padding or batch axis; its masks are bool
        [D, H, W].
        """
        if isinstance(images, np.ndarray) and images.ndim == 3:
            return self([images])[0]
        batch = [self._prepare(image) for image in images]
        sizes = np.array([image.shape[:2] for image in batch], np.int32)
        height, width = padded_sides(sizes.max(axis=0))
        # float32 also where no image was resized: one program for both.
        canvas = np.zeros((len(batch), height, width, 3), np.float32)
        for row, image in zip(canvas, batch, strict=True):
            row[: image.shape[0], : image.shape[1]] = image
        found = jax.device_get(self._detect(self.variables, canvas, sizes))
        return [
            in_image_pixels(
                jax.tree.map(lambda leaf, row=row: leaf[row], found),
                size=tuple(sizes[row]),
                image_size=image.shape[:2],
            )
            for row, image in enumerate(images)
        ]

    def _prepare(self, image: np.ndarray) -> np.ndarray:
        """Returns the image at the network's scale."""
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(
                f"images: shape {image.shape} given, must be [height, width, 3]"
            )
        if image.dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"images: {image.dtype} given, must be uint8 or float32 in 0 … 255"
            )
        scale = fit_scale_either_way(image.shape, self.canvas)
        return image if scale == 1 else resize(image.astype(np.float32), scale)


def in_image_pixels(
    found: Detections, *, size: tuple[int, int], image_size: tuple[int, int]
) -> Detections:
    """Returns one image's detections without padding, in pixels of the image.

    `size` is its height and width on the canvas. Masks are pasted: bool [D, H, W].
    """
    rows = np.asarray(found.valid)
    ratio = np.float32([image_size[1] / size[1], image_size[0] / size[0]])
    boxes = found.boxes[rows] * np.tile(ratio, 2)
    masks = keypoints = scores = None
    if found.masks is not None:
        masks = paste_masks(found.masks[rows], boxes, *image_size)
    if found.keypoints is not None:
        keypoints = found.keypoints[rows] * ratio
        scores = found.keypoint_scores[rows]
    return Detections(
        boxes=boxes,
        scores=found.scores[rows],
        labels=found.labels[rows],
        valid=rows[rows],
        masks=masks,
        keypoints=keypoints,
        keypoint_scores=scores,
    )


def with_final_fields(model: nn.Module, changes: dict) -> nn.Module:
    """Returns the model with fields changed in the head that makes the final boxes."""
    name = "box_head" if hasattr(model, "box_head") else "head"
    if isinstance(model, ProposalNetwork):
        names = {"max_detections": "post_nms"}
        changes = {names.get(field, field): value for field, value in changes.items()}
    return model.clone(**{name: getattr(model, name).clone(**changes)})
