"""An artifact beside the detector that it was made of."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from fpn_jax.data.transforms import fit_scale, resize
from fpn_jax.evaluation.image_pixels import in_image_pixels
from fpn_jax.types import Detections

# An artifact computes in another order, so its last digits differ.
BOX_TOLERANCE = 0.05  # px of the image
SCORE_TOLERANCE = 1e-4
MASK_IOU = 0.99

Run = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]


class ExportProof(NamedTuple):
    """The largest differences over all pictures."""

    detections: int  # of the detector
    unmatched: int  # of either, without one of its class within a pixel
    box_px: float  # of boxes and keypoints
    score: float
    mask_iou: float  # the smallest; 1.0 without masks

    @property
    def holds(self) -> bool:
        """Whether the artifact finds what the detector finds."""
        return (
            self.unmatched == 0
            and self.box_px <= BOX_TOLERANCE
            and self.score <= SCORE_TOLERANCE
            and self.mask_iou >= MASK_IOU
        )

    def __str__(self) -> str:
        return (
            f"{self.detections} detections, {self.unmatched} unmatched; boxes within "
            f"{self.box_px:.2g} px, scores within {self.score:.1g}, masks' IoU at "
            f"least {self.mask_iou:.4f}"
        )


def prove_export(
    ours: Run,
    theirs: Run,
    images: Sequence[np.ndarray],
    *,
    canvas: tuple[int, int],
    fit: tuple[int, int],
    batch: int,
) -> ExportProof:
    """Returns how far two programs are apart on pictures, uint8 [H, W, 3].

    Args:
        ours: of the detector.
        theirs: of the artifact.
        images: any number; batches are filled up with none.
        canvas: height and width of the programs' input.
        fit: height and width that images are scaled to fit.
        batch: images that go through both at once.
    """
    proofs = []
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        pixels, sizes = on_canvas(some, canvas=canvas, fit=fit, batch=batch)
        found = [Detections(**run(pixels, sizes)) for run in (ours, theirs)]
        for row, image in enumerate(some):
            pair = (
                in_image_pixels(
                    jax.tree.map(operator.itemgetter(row), each),
                    size=sizes[row],
                    image_size=image.shape[:2],
                )
                for each in found
            )
            proofs.append(_compared(*pair))
    columns = list(zip(*proofs, strict=True))
    return ExportProof(
        sum(columns[0]), sum(columns[1]), *map(max, columns[2:4]), min(columns[4])
    )


def on_canvas(
    images: Sequence[np.ndarray],
    *,
    canvas: tuple[int, int],
    fit: tuple[int, int],
    batch: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a batch of images, and their sizes, as an artifact wants them."""
    pixels = np.zeros((batch, *canvas, 3), np.uint8)
    sizes = np.zeros((batch, 2), np.int32)
    for row, image in enumerate(images):
        fitted = resize(image, fit_scale(image.shape, fit))
        sizes[row] = fitted.shape[:2]
        pixels[row, : fitted.shape[0], : fitted.shape[1]] = fitted
    return pixels, sizes


def _compared(ours: Detections, theirs: Detections) -> ExportProof:
    """Pairs each detection with the nearest of its class, whatever its rank."""
    left = list(range(len(theirs.scores)))
    pairs = []
    for row, (box, label) in enumerate(zip(ours.boxes, ours.labels, strict=True)):
        apart = [
            float(np.abs(theirs.boxes[other] - box).max())
            if theirs.labels[other] == label
            else np.inf
            for other in left
        ]
        if apart and min(apart) < 1:
            pairs.append((row, left.pop(int(np.argmin(apart)))))
    mine, its = np.array(pairs, int).reshape(-1, 2).T

    def most(name: str) -> float:
        one, other = getattr(ours, name), getattr(theirs, name)
        return 0.0 if one is None else _largest(one[mine] - other[its])

    ious = [1.0]
    if ours.masks is not None and theirs.masks is not None:
        for one, other in zip(ours.masks[mine], theirs.masks[its], strict=True):
            union = (one | other).sum()
            ious.append(float((one & other).sum() / union) if union else 1.0)
    number = len(ours.scores)
    unmatched = number + len(theirs.scores) - 2 * len(pairs)
    box = max(most("boxes"), most("keypoints"))
    return ExportProof(number, unmatched, box, most("scores"), min(ious))


def _largest(differences: np.ndarray) -> float:
    return float(np.abs(differences).max(initial=0))
