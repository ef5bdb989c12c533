"""SimOTA and the losses of YOLOX as plain loops over cells, and a small truth."""

from functools import partial

import jax.numpy as jnp
import numpy as np

from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.types import Targets
from tests.support.twins import overlap, sigmoid

torch, _ = import_torchvision()

CANVAS = (64, 96)
LEVELS = (3, 4, 5)
GRIDS = {level: (CANVAS[0] >> level, CANVAS[1] >> level) for level in LEVELS}
NUM_CELLS = sum(height * width for height, width in GRIDS.values())
CLASSES = 3
# A small box, a wide one, one whose middle is the first one's, one beside the canvas'
# cells, and padding.
BOXES = [[10, 8, 22, 24], [4, 4, 90, 60], [8, 6, 24, 26], [60, 30, 70, 31], [0] * 4]


def targets(batch: int = 2) -> Targets:
    rows = jnp.array([BOXES, BOXES[1:] + BOXES[:1]], jnp.float32)[:batch]
    return Targets(
        boxes=rows,
        labels=jnp.array([[0, 1, 2, 1, 0]] * batch),
        valid=(rows[..., 2] > 0),
        crowd=jnp.zeros(rows.shape[:2], bool).at[0, 3].set(True),
    )


def cells() -> list[tuple[float, float, int]]:
    """Column, row and stride of every cell."""
    return [
        (x, y, 2**level)
        for level, (height, width) in GRIDS.items()
        for y in range(height)
        for x in range(width)
    ]


def simota(boxes, logits, objectness, wanted, labels) -> dict[int, tuple[int, float]]:
    """{cell: (target, IoU)}: section 2.1 read line by line, in float64."""
    chosen = {}
    for g, (x1, y1, x2, y2) in enumerate(wanted):
        costs, overlaps = {}, []
        for n, (x, y, stride) in enumerate(cells()):
            x, y = (x + 0.5) * stride, (y + 0.5) * stride
            inside = x1 < x < x2 and y1 < y < y2
            offset = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2))
            near = offset < 2.5 * stride
            if not (inside or near):
                continue
            iou = overlap(boxes[n], wanted[g])
            cost = -3 * np.log(iou + 1e-8) + 1e5 * (not (inside and near))
            for k in range(CLASSES):
                p = np.sqrt(sigmoid(logits[n][k]) * sigmoid(objectness[n]))
                cost -= np.log(p if k == labels[g] else 1 - p)
            costs[n] = cost
            overlaps.append(iou)
        k = max(1, int(sum(sorted(overlaps)[-10:])))
        for n in sorted(costs, key=costs.get)[:k]:
            if n not in chosen or costs[n] < chosen[n][2]:
                chosen[n] = g, overlap(boxes[n], wanted[g]), costs[n]
    return {n: (g, iou) for n, (g, iou, _) in chosen.items()}


def twin_loss(maps, truth: Targets):
    """The sum of the three losses, by loops over images and cells."""
    rows = [x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps]
    logits, deltas, objectness = (
        torch.cat(rows[i : i + 3], dim=1) for i in range(0, 9, 3)
    )
    total, count = 0, 0
    bce = partial(torch.nn.functional.binary_cross_entropy_with_logits, reduction="sum")
    for i in range(len(logits)):
        place = torch.tensor(cells(), dtype=torch.float32)
        center = (place[:, :2] + deltas[i, :, :2]) * place[:, 2:]
        sides = torch.exp(deltas[i, :, 2:]) * place[:, 2:]
        boxes = torch.cat([center - sides / 2, center + sides / 2], dim=1)
        real = np.asarray(truth.valid[i] & ~truth.crowd[i])
        wanted = np.asarray(truth.boxes[i])[real]
        labels = np.asarray(truth.labels[i])[real]
        found = simota(
            boxes.double().tolist(),
            logits[i].double().tolist(),
            objectness[i, :, 0].double().tolist(),
            wanted.tolist(),
            labels.tolist(),
        )
        of_object = torch.zeros(NUM_CELLS)
        for n, (g, iou) in found.items():
            of_class = torch.zeros(CLASSES)
            of_class[labels[g]] = iou
            total = total + bce(logits[i, n], of_class)
            total = total + 5 * (1 - overlap(boxes[n], wanted[g].tolist()) ** 2)
            of_object[n] = 1
        total = total + bce(objectness[i, :, 0], of_object)
        count += len(found)
    return total / count
