"""A converted detector held against torchvision's own on the same images.

torchvision runs as its user calls it. What it makes of an image, resized, normalized
and padded, also goes through our modules, so that each map is compared with its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from fpn_jax.detectors.contract import facts
from fpn_jax.parity.layouts import image_tensor, to_nhwc, to_numpy
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.types import Detections, Pyramid
from fpn_jax.weights.torchvision import first_label

MAP_TOLERANCE = 1e-4  # of the largest value of the map
BOX_TOLERANCE = 0.05  # pixels of the image
SCORE_TOLERANCE = 1e-4
MASK_IOU = 0.99
MASK_SIDE = 28  # cells of a mask
TIED_SCORES = 1e-6  # apart: some steps of float32
TIED_IOU = 0.5  # all detectors suppress above this, or above 0.6
TIES = 0.1  # of the detections, at most
KEYPOINT_TOLERANCE = 0.1  # pixels of the image


class Proof(NamedTuple):
    """The differences of our outputs from torchvision's on one image."""

    differences: dict[str, float]  # of each map: the largest, of the map's own scale
    theirs: int  # detections
    ours: int
    matched: int  # pairs within the tolerances
    tied: int  # pairs in which either box could have suppressed the other

    @property
    def holds(self) -> bool:
        """Whether the maps are near enough and every detection has its counterpart.

        Ties are few, or something else makes the boxes differ.
        """
        near = max(self.differences.values()) <= MAP_TOLERANCE
        complete = self.theirs == self.ours == self.matched + self.tied
        return near and complete and self.tied <= TIES * self.theirs


def prove(
    theirs: Any,
    detector: nn.Module,
    variables: Mapping[str, Any],
    detect: Callable[[np.ndarray], Detections],
    images: Sequence[np.ndarray],
) -> list[Proof]:
    """Returns the proof of each image.

    Args:
        theirs: torchvision's model.
        detector: ours.
        variables: converted from the weights of `theirs`.
        detect: an image to its detections without padding, in its own pixels.
        images: uint8 [H, W, 3], RGB.
    """
    forward = jax.jit(partial(detector.apply, method=_maps))
    proofs = []
    for image in images:
        seen = _run(theirs, image)
        maps = _our_maps(*forward(variables, seen.pixels))
        differences = {
            name: largest_difference(ours, wanted)
            for (name, ours), wanted in zip(maps.items(), seen.maps, strict=True)
        }
        ours, wanted = detect(image), as_detections(seen.detections, detector)
        pairs = match_detections(ours, wanted)
        proofs.append(
            Proof(
                differences,
                theirs=len(wanted.scores),
                ours=len(ours.scores),
                matched=len(pairs),
                tied=count_ties(ours, wanted, pairs),
            )
        )
    return proofs


def maps_table(differences: Mapping[str, float]) -> str:
    """Returns a line of text for each map."""
    lines = [f"{name:<20} {difference:.1e}" for name, difference in differences.items()]
    return "\n".join([f"{'module':<20} largest difference, of its scale", *lines])


def proofs_table(names: Iterable[str], proofs: Sequence[Proof]) -> str:
    """Returns the proofs as text: the maps over all images, then the images."""
    worst = {
        module: max(proof.differences[module] for proof in proofs)
        for module in proofs[0].differences
    }
    lines = [maps_table(worst), f"{'image':<20} torchvision's  ours  equal  tied"]
    for name, proof in zip(names, proofs, strict=True):
        counts = f"{proof.theirs:13}  {proof.ours:4}  {proof.matched:5}  {proof.tied:4}"
        lines.append(f"{name:<20} {counts}")
    return "\n".join(lines)


def as_detections(found: Mapping[str, Any], detector: nn.Module) -> Detections:
    """Returns one image's tensors of torchvision in the conventions of `detector`."""
    found = {name: to_numpy(tensor) for name, tensor in found.items()}
    masks = keypoints = None
    if "masks" in found:
        masks = found["masks"][:, 0] > 0.5
    if "keypoints" in found:
        keypoints = found["keypoints"][..., :2]
    return Detections(
        boxes=found["boxes"],
        scores=found["scores"],
        labels=found["labels"] - first_label(detector),
        valid=np.ones(len(found["scores"]), bool),
        masks=masks,
        keypoints=keypoints,
        keypoint_scores=found.get("keypoints_scores"),
    )


def match_detections(ours: Detections, theirs: Detections) -> list[tuple[int, int]]:
    """Returns pairs of rows that are equal within the tolerances, each row once.

    The order of rows does not matter: equal scores may stand in another.
    """
    near = ours.labels[:, None] == theirs.labels[None]
    near &= np.abs(ours.scores[:, None] - theirs.scores[None]) <= SCORE_TOLERANCE
    distance = np.abs(ours.boxes[:, None] - theirs.boxes[None]).max(axis=-1)
    near &= distance <= BOX_TOLERANCE
    if ours.keypoints is not None:
        wanted = np.asarray(theirs.keypoints)  # None, which is an error, has no rows
        distance = np.abs(ours.keypoints[:, None] - wanted[None])
        near &= distance.max(axis=(-1, -2)) <= KEYPOINT_TOLERANCE
    pairs, rows, columns = [], set(), set()
    for row, column in np.argwhere(near).tolist():
        if row in rows or column in columns:
            continue
        if (
            ours.masks is None
            or _mask_iou(ours.masks[row], np.asarray(theirs.masks)[column]) >= MASK_IOU
        ):
            pairs.append((row, column))
            rows.add(row)
            columns.add(column)
    return pairs


def count_ties(
    ours: Detections, theirs: Detections, pairs: list[tuple[int, int]]
) -> int:
    """Returns how many of the other rows are two boxes of one tie.

    Of two boxes that overlap, with scores that rounding makes equal, each side keeps
    the one that it finds higher. And one box whose masks differ, where rounding decides
    at which pixel the mask is put: torchvision cuts the box's corners to integers.
    """
    rows = sorted(set(range(len(ours.scores))) - {row for row, _ in pairs})
    columns = set(range(len(theirs.scores))) - {column for _, column in pairs}
    count = 0
    for row in rows:
        for column in sorted(columns):
            apart = abs(ours.scores[row] - theirs.scores[column])
            box, other = ours.boxes[row], theirs.boxes[column]
            suppressed = apart <= TIED_SCORES and _box_iou(box, other) > TIED_IOU
            moved = ours.masks is not None and _pasted_apart(box, other)
            if ours.labels[row] == theirs.labels[column] and (
                suppressed or (moved and apart <= SCORE_TOLERANCE)
            ):
                columns.remove(column)
                count += 1
                break
    return count


def _maps(detector: nn.Module, pixels: jax.Array) -> tuple[Pyramid, Pyramid, Any]:
    """Returns features, pyramid and the first head's outputs of normalized images."""
    features = detector.backbone(pixels)
    pyramid = detector.neck(features)
    first_stage = facts(detector).first_stage
    head = detector.head if first_stage is None else first_stage
    return features, pyramid, head(pyramid)


def _our_maps(features: Pyramid, pyramid: Pyramid, outputs: Any) -> dict[str, Any]:
    """Returns all maps by name, the head's as one vector over the levels."""
    maps: dict[str, Any] = {f"C{level}": features[level] for level in sorted(features)}
    maps |= {f"P{level}": pyramid[level] for level in sorted(pyramid)}
    for name, levels in vars(outputs).items():
        maps[name] = np.concatenate(
            [np.ravel(levels[level]) for level in sorted(levels)]
        )
    return maps


class _Seen(NamedTuple):
    """The outputs of torchvision for one image."""

    pixels: np.ndarray  # [1, H, W, 3] normalized, padded
    maps: list[np.ndarray]  # in the order of `_our_maps`
    detections: dict[str, Any]  # of tensors


def _run(model: Any, image: np.ndarray) -> _Seen:
    torch, _ = import_torchvision()
    modules = {
        "canvas": model.transform,
        "features": model.backbone.body,
        "pyramid": model.backbone,
        "head": model.head if hasattr(model, "head") else model.rpn.head,
    }
    seen = {}
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: seen.setdefault(name, output)
        )
        for name, module in modules.items()
    ]
    with torch.inference_mode():
        (found,) = model([image_tensor(image)])
    for hook in hooks:
        hook.remove()
    maps = [to_nhwc(x) for name in ("features", "pyramid") for x in seen[name].values()]
    return _Seen(
        pixels=to_nhwc(seen["canvas"][0].tensors),
        maps=maps + _head_maps(seen["head"]),
        detections=found,
    )


def _head_maps(output: dict[str, Any] | tuple[list, list]) -> list[np.ndarray]:
    """Returns a vector for each output: of a dense head, or of an RPN's two lists."""
    if isinstance(output, dict):
        return [tensor.numpy().ravel() for tensor in output.values()]
    return [np.concatenate([to_nhwc(x).ravel() for x in levels]) for levels in output]


def largest_difference(ours: Any, theirs: np.ndarray) -> float:
    """Returns the largest difference as a share of the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _box_iou(box: np.ndarray, other: np.ndarray) -> float:
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    overlap = np.prod(np.maximum(high - low, 0))
    return overlap / (
        np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - overlap
    )


def _pasted_apart(box: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether the masks of two equal boxes are put at different pixels."""
    equal = np.abs(box - other).max() <= BOX_TOLERANCE
    return equal and bool((_pasted(box) != _pasted(other)).any())


def _pasted(box: np.ndarray) -> np.ndarray:
    """Returns the pixels of a mask's first and last corner, with its border of one."""
    half = (box[2:] - box[:2]) / 2 * (MASK_SIDE + 2) / MASK_SIDE
    center = (box[2:] + box[:2]) / 2
    return np.concatenate([center - half, center + half]).astype(int)


def _mask_iou(mask: np.ndarray, other: np.ndarray) -> float:
    """The IoU of two masks; 1 where both are empty."""
    union = np.sum(mask | other)
    return np.sum(mask & other) / union if union else 1.0
