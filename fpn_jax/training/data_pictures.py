"""Pictures of the training data, written before anything is trained."""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fpn_jax.data.batch import Batch
from fpn_jax.data.example import Source, UnreadableImage
from fpn_jax.data.read_ahead import TrainingBatches
from fpn_jax.training.whole_files import replacing
from fpn_jax.types import Detections
from fpn_jax.visualize.drawing import draw_detections
from fpn_jax.visualize.label_plots import plot_labels
from fpn_jax.visualize.pictures import picture_grid, save_image

_IMAGES = 6  # of the first batches
_PANEL = 480  # pixels of a picture's longer side
# Images whose objects are counted, spread evenly: a second or two of time. A source
# that must decode them is read in part.
_COUNTED, _DECODED = 5000, 500


def write_data_pictures(run: Path, source: Source, batches: TrainingBatches) -> None:
    """Writes `plots/labels.png` and `plots/training.png`, where they are not there.

    The first shows the objects of the training split, the second the first six images
    as the network sees them, after all random changes.
    """
    plots = run / "plots"
    plots.mkdir(exist_ok=True)
    if not (plots / "labels.png").exists():
        with replacing(plots / "labels.png") as path:
            _labels(source).savefig(path)
    if not (plots / "training.png").exists():
        names = [category.name for category in source.categories]
        spec = source.keypoint_spec
        skeleton = spec.skeleton if spec else ()
        with replacing(plots / "training.png") as path:
            save_image(path, _training(batches, names, skeleton))


def _labels(source: Source):
    most = _DECODED if source.object_counts() is None else _COUNTED
    number = min(most, len(source))
    boxes, labels, sizes = [], [], []
    for index in np.linspace(0, len(source) - 1, number).round().astype(int).tolist():
        try:
            truth = source.truth(index)
        except UnreadableImage:  # which the loader names
            continue
        objects = ~truth.crowd
        xywh = truth.xywh[objects]
        boxes.append(np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]))
        labels.append(truth.labels[objects])
        sizes.append(truth.size)
    count = f"{number} of {len(source)}" if number < len(source) else f"{number}"
    return plot_labels(
        boxes,
        labels,
        sizes,
        [category.name for category in source.categories],
        title=f"{source.name}: {sum(map(len, labels))} objects in {count} images",
    )


def _training(
    batches: TrainingBatches, names: Sequence[str], skeleton: Sequence[tuple[int, int]]
) -> np.ndarray:
    size = len(batches.peek(0)["images"])
    seen = [batches.peek(number) for number in range(math.ceil(_IMAGES / size))]
    pictures = [
        _picture({name: values[row] for name, values in batch.items()}, names, skeleton)
        for batch in seen
        for row in range(size)
    ]
    return picture_grid(pictures[:_IMAGES], columns=3, panel=_PANEL)


def _picture(
    row: Batch, names: Sequence[str], skeleton: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Returns one image of a batch with the objects that are trained on."""
    scale = _PANEL / max(row["images"].shape[:2])
    picture = cv2.resize(row["images"], None, fx=scale, fy=scale)
    objects = row["valid"] & ~row["crowd"]
    boxes = row["boxes"][objects] * scale
    keypoints = row.get("keypoints")
    masks = row.get("masks")
    truth = Detections(
        boxes=boxes,
        scores=None,  # pyright: ignore[reportArgumentType]  # nothing was found
        labels=row["labels"][objects],
        valid=np.ones(len(boxes), bool),
        masks=None if masks is None else _bitmaps(masks[objects], boxes, picture),
        keypoints=None if keypoints is None else keypoints[objects][..., :2] * scale,
    )
    return draw_detections(picture, truth, names=names, skeleton=skeleton)


def _bitmaps(masks: np.ndarray, boxes: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Returns masks [N, M, M] of boxes as bitmaps [N, H, W] of the picture."""
    bitmaps = np.zeros((len(masks), *picture.shape[:2]), np.uint8)
    for row, (left, top, right, bottom) in enumerate(boxes.round().astype(int)):
        region = bitmaps[row, top:bottom, left:right]
        if region.size:
            size = region.shape[::-1]
            region[...] = cv2.resize(masks[row], size, interpolation=cv2.INTER_NEAREST)
    return bitmaps
