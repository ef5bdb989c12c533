"""An artifact beside the detector that it was made of."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import starmap
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.data.transforms import fit_scale, resize
from fpn_jax.ops.boxes import pairwise_iou
from fpn_jax.types import Detections

# An artifact computes in another order, so its last digits differ.
BOX_TOLERANCE = 0.05  # px of the image; of boxes and keypoints
SCORE_TOLERANCE = 1e-4
MASK_IOU = 0.99
# Share of the detections that may be ties: rounding decides which of two equal scores
# is the last one that is kept, and which of two boxes suppresses the other.
MOST_TIES = 0.02
_TIED_IOU = 0.4  # all detectors suppress above this
_TIED_PEAKS = 1e-3  # apart: logits of two places of a map, where either may win
# A cell within this of 1/2 is on neither side of a mask's border.
_BORDER = 1e-3

Run = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]


class ExportProof(NamedTuple):
    """The largest differences over all pictures."""

    detections: int  # of the detector
    unmatched: int  # of either, without one of its class within a pixel
    ties: int  # of either, where rounding may choose another one, or other keypoints
    box_px: float  # of boxes and keypoints
    score: float
    mask_iou: float | None  # the smallest, in the box; None without masks
    compiled: str = "as used"  # how the detector was compiled

    @property
    def holds(self) -> bool:
        """Whether the artifact finds what the detector finds."""
        return (
            self.unmatched == 0
            and self.ties <= MOST_TIES * self.detections
            and self.box_px <= BOX_TOLERANCE
            and self.score <= SCORE_TOLERANCE
            and (self.mask_iou is None or self.mask_iou >= MASK_IOU)
        )

    def __str__(self) -> str:
        iou = self.mask_iou
        masks = "" if iou is None else f", masks' IoU at least {iou:.4f}"
        beside = "" if self.compiled == "as used" else f", beside {self.compiled}"
        return (
            f"{self.detections} detections, {self.unmatched} unmatched, {self.ties} "
            f"ties; boxes within {self.box_px:.2g} px, scores within {self.score:.1g}"
            f"{masks}{beside}"
        )


def compilations(
    program: Callable[..., Any], images: jax.ShapeDtypeStruct, sizes: Any
) -> dict[str, Run]:
    """Returns a detector's program for inputs of one shape, compiled in two ways.

    Where scores are nearly equal, one rounding in the network decides which proposals
    are kept, and so what is found: a detector differs from itself when XLA does not
    fuse its operations. Each is compiled when it is first run.
    """
    lowered = functools.cache(lambda: jax.jit(program).lower(images, sizes))

    def run(**options: Any) -> Run:
        compiled = functools.cache(lambda: lowered().compile(options))
        return lambda images, sizes: jax.device_get(compiled()(images, sizes))

    return {
        "as used": run(),
        "the detector compiled without optimization": run(
            xla_backend_optimization_level=0
        ),
    }


def prove_export(
    ours: Mapping[str, Run],
    theirs: Run,
    images: Sequence[np.ndarray],
    *,
    canvas: tuple[int, int],
    fit: tuple[int, int],
    batch: int,
) -> ExportProof:
    """Returns how far two programs are apart on pictures, uint8 [H, W, 3].

    It is the first proof that holds of those by the detector's compilations; where none
    does, that by the first of them.

    Args:
        ours: of the detector, by how it is compiled (`compilations`).
        theirs: of the artifact.
        images: any number; batches are filled up with none.
        canvas: height and width of the programs' input.
        fit: height and width that images are scaled to fit.
        batch: images that go through both at once.
    """
    batches = [images[n : n + batch] for n in range(0, len(images), batch)]
    inputs = [on_canvas(x, canvas=canvas, fit=fit, batch=batch) for x in batches]
    found = [theirs(*given) for given in inputs]
    proofs = (
        _proof(batches, inputs, starmap(run, inputs), found)._replace(compiled=name)
        for name, run in ours.items()
    )
    tried = []
    for proof in proofs:
        if proof.holds:
            return proof
        tried.append(proof)
    return tried[0]


def _proof(
    batches: Sequence[Sequence[np.ndarray]],
    inputs: Sequence[tuple[np.ndarray, np.ndarray]],
    ours: Iterable[Mapping[str, np.ndarray]],
    theirs: Iterable[Mapping[str, np.ndarray]],
) -> ExportProof:
    proofs = []
    for images, (_, sizes), *both in zip(batches, inputs, ours, theirs, strict=True):
        found = [Detections(**each) for each in both]
        for row, image in enumerate(images):
            ratio = np.divide(image.shape[:2], sizes[row])[::-1].astype(np.float32)
            mine, its = (
                _in_pixels(jax.tree.map(operator.itemgetter(row), each), ratio)
                for each in found
            )
            proofs.append(_compared(mine, its, ratio))
    columns = list(zip(*proofs, strict=True))
    return ExportProof(
        detections=sum(columns[0]),
        unmatched=sum(columns[1]),
        ties=sum(columns[2]),
        box_px=max(columns[3]),
        score=max(columns[4]),
        mask_iou=min((iou for iou in columns[5] if iou is not None), default=None),
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


def _in_pixels(found: Detections, ratio: np.ndarray) -> Detections:
    """Returns the detections of one image, without padding and with masks in boxes."""
    found = jax.tree.map(operator.itemgetter(np.asarray(found.valid)), found)
    points = found.keypoints
    return dataclasses.replace(
        found,
        boxes=found.boxes * np.tile(ratio, 2),
        keypoints=None if points is None else points * ratio,
    )


def _compared(ours: Detections, theirs: Detections, ratio: np.ndarray) -> ExportProof:
    """Pairs each detection with the nearest of its class, whatever its rank.

    `ratio` is how many pixels of the image one of the canvas is, along x and y.
    """
    left = list(range(len(theirs.scores)))
    pairs, alone = [], []
    for row, (box, label) in enumerate(zip(ours.boxes, ours.labels, strict=True)):
        apart = [
            float(np.abs(theirs.boxes[other] - box).max())
            if theirs.labels[other] == label
            else np.inf
            for other in left
        ]
        if apart and min(apart) < 1:
            pairs.append((row, left.pop(int(np.argmin(apart)))))
        else:
            alone.append(row)
    mine, its = np.array(pairs, int).reshape(-1, 2).T
    ties = sum(_is_tie(ours, row, theirs) for row in alone)
    ties += sum(_is_tie(theirs, row, ours) for row in left)

    def between(name: str) -> Any:
        one, other = getattr(ours, name), getattr(theirs, name)
        return None if one is None else np.abs(one[mine] - other[its])

    unmatched = len(alone) + len(left) - ties
    box = _largest(between("boxes"))
    if (points := between("keypoints")) is not None:
        moved = points.max(axis=-1) > BOX_TOLERANCE
        near = (points <= ratio).all(axis=-1)  # within a pixel of the canvas
        of_grid = near & _on_other_grids(ours.boxes[mine], theirs.boxes[its], ratio)
        tied = moved & (of_grid | (between("keypoint_scores") <= _TIED_PEAKS))
        ties += int(tied.any(axis=1).sum())
        box = max(box, _largest(points[~tied]))
    iou = None
    if ours.masks is not None and theirs.masks is not None:
        ious = map(_mask_iou, ours.masks[mine], theirs.masks[its])
        iou = min(ious, default=1.0)
    score = _largest(between("scores"))
    return ExportProof(len(ours.scores), unmatched, ties, box, score, iou)


def _is_tie(found: Detections, row: int, others: Detections) -> bool:
    """Whether rounding may have left a detection out of the others.

    Another of the same score is the last one, or overlaps it and has its class.
    """
    near = np.abs(others.scores - found.scores[row]) <= SCORE_TOLERANCE
    if not near.any():
        return False
    alike = near & (others.labels == found.labels[row])
    boxes = map(jnp.asarray, (found.boxes[row : row + 1], others.boxes))
    iou = np.asarray(pairwise_iou(*boxes))[0]
    return bool(near[-1] or (alike & (iou > _TIED_IOU)).any())


def _on_other_grids(ours: np.ndarray, theirs: np.ndarray, ratio: np.ndarray) -> Any:
    """Says which of two boxes [N, 4] have heat maps of other sizes: bool [N, 1].

    Keypoints are searched in a heat map resized to the whole pixels of its box, rounded
    up. Rounding moves a side of nearly 202 pixels over it, and all keypoints with it.
    """
    grids = (np.ceil((boxes[:, 2:] - boxes[:, :2]) / ratio) for boxes in (ours, theirs))
    return np.not_equal(*grids).any(axis=1, keepdims=True)


def _mask_iou(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the IoU of two masks in one box."""
    on_border = (np.abs(one - 0.5) < _BORDER) & (np.abs(other - 0.5) < _BORDER)
    one, other = ((mask >= 0.5) & ~on_border for mask in (one, other))
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0


def _largest(differences: np.ndarray) -> float:
    return float(differences.max(initial=0))
