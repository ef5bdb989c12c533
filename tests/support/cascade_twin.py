"""Detectron2's cascade of box heads (`CascadeROIHeads`) in torch.

Its tensors have Detectron2's names. The background is the last class, boxes are for all
classes, RoIAlign is aligned and adaptive.
"""

import numpy as np

from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()

nn, functional = torch.nn, torch.nn.functional
IOUS = (0.5, 0.6, 0.7)
WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))


class CascadeTwin(nn.Module):
    """Three stages of two fully connected layers and a predictor.

    A box of `canonical` px is pooled from level 4.
    """

    def __init__(self, channels: int, hidden: int, classes: int, canonical: int = 224):
        super().__init__()
        self.classes, self.canonical = classes, canonical
        size = 7
        self.box_head, self.box_predictor = nn.ModuleList(), nn.ModuleList()
        for _ in IOUS:
            head, predictor = nn.Module(), nn.Module()
            head.fc1 = nn.Linear(channels * size * size, hidden)
            head.fc2 = nn.Linear(hidden, hidden)
            predictor.cls_score = nn.Linear(hidden, classes + 1)
            predictor.bbox_pred = nn.Linear(hidden, 4)
            self.box_head.append(head)
            self.box_predictor.append(predictor)

    def losses(self, pyramid: dict, samples: list, objects: list, sizes: list) -> dict:
        """Returns each stage's two losses; samples are [N, 4] of every image, objects
        are boxes and labels."""
        losses, boxes = {}, samples
        for stage in range(len(IOUS)):
            if stage:
                # Taken as they are; empty ones are left out.
                boxes = [b[((b[:, 2:] - b[:, :2]) > 0).all(dim=1)] for b in boxes]
            scores, deltas = self._stage(stage, pyramid, boxes)
            labels, wanted = zip(
                *(
                    self._matched(stage, b, *of_image)
                    for b, of_image in zip(boxes, objects, strict=True)
                ),
                strict=True,
            )
            labels, given = torch.cat(labels), torch.cat(boxes)
            positive = labels < self.classes
            target = coder(stage).encode_single(torch.cat(wanted), given)
            distance = (deltas - target)[positive].abs().sum()
            losses[f"class_stage{stage + 1}"] = functional.cross_entropy(scores, labels)
            losses[f"box_stage{stage + 1}"] = distance / len(labels)
            boxes = self._moved(stage, deltas, boxes, sizes)
        return losses

    def stages(self, pyramid: dict, proposals: list, sizes: list) -> list:
        """Returns boxes, scores and deltas of every stage, all images in a row."""
        stages, boxes = [], proposals
        for stage in range(len(IOUS)):
            scores, deltas = self._stage(stage, pyramid, boxes)
            stages.append((torch.cat(boxes), scores, deltas))
            boxes = self._moved(stage, deltas, boxes, sizes)
        return stages

    def detections(self, pyramid: dict, proposals: list, sizes: list) -> list:
        """Returns boxes, scores and labels of every image."""
        stages = self.stages(pyramid, proposals, sizes)
        counts = [len(b) for b in proposals]
        probabilities = sum(x.softmax(dim=1) for _, x, _ in stages) / len(stages)
        boxes, _, deltas = stages[-1]
        decoded = coder(len(stages) - 1).decode_single(deltas, boxes)
        found = zip(
            decoded.split(counts), probabilities.split(counts), sizes, strict=True
        )
        return [self._suppressed(*of_image) for of_image in found]

    def _suppressed(self, boxes, probabilities, size):
        boxes = torchvision.ops.clip_boxes_to_image(boxes, size)
        row, label = (probabilities[:, :-1] > 0.05).nonzero().unbind(1)
        boxes, scores = boxes[row], probabilities[row, label]
        keep = torchvision.ops.batched_nms(boxes, scores, label, 0.5)[:100]
        keep = keep[(boxes[keep, 2:] > boxes[keep, :2]).all(dim=1)]
        return boxes[keep], scores[keep], label[keep]

    def _stage(self, stage: int, pyramid: dict, boxes: list):
        pooled = pool(pyramid, boxes, 7, self.canonical)
        if torch.is_grad_enabled():
            # The gradient to the pyramid is divided by the number of stages.
            pooled = pooled / len(IOUS) + (pooled * (1 - 1 / len(IOUS))).detach()
        head, predictor = self.box_head[stage], self.box_predictor[stage]
        x = functional.relu(head.fc1(pooled.flatten(1)))
        x = functional.relu(head.fc2(x))
        return predictor.cls_score(x), predictor.bbox_pred(x)

    def _moved(self, stage: int, deltas, boxes: list, sizes: list) -> list:
        moved = coder(stage).decode_single(deltas.detach(), torch.cat(boxes))
        parts = moved.split([len(b) for b in boxes])
        return [
            torchvision.ops.clip_boxes_to_image(b, size)
            for b, size in zip(parts, sizes, strict=True)
        ]

    def _matched(self, stage: int, boxes, objects, labels):
        """Returns each box's class, and the object that it is trained towards."""
        if not len(objects):
            background = torch.full((len(boxes),), self.classes)
            return background, torch.ones_like(boxes) * torch.tensor([0, 0, 1, 1])
        best, index = torchvision.ops.box_iou(objects, boxes).max(dim=0)
        found = torch.where(best >= IOUS[stage], labels[index], self.classes)
        return found, objects[index]


def coder(stage: int):
    return torchvision.models.detection._utils.BoxCoder(WEIGHTS[stage])


def pool(pyramid: dict, boxes: list, size: int, canonical: int = 224):
    """Returns features [N, C, size, size] of the boxes of all images, in a row."""
    numbered = torch.cat(
        [
            torch.cat([torch.full((len(b), 1), float(image)), b], dim=1)
            for image, b in enumerate(boxes)
        ]
    )
    sides = numbered[:, 3:] - numbered[:, 1:3]
    scale = sides.prod(dim=1).sqrt() / canonical
    level = (4 + torch.log2(scale + 1e-8)).floor().clamp(min(pyramid), max(pyramid))
    channels = next(iter(pyramid.values())).shape[1]
    pooled = torch.zeros(len(numbered), channels, size, size)
    for number, features in pyramid.items():
        rows = level == number
        if rows.any():
            options = {"spatial_scale": 2.0**-number, "sampling_ratio": 0}
            part = torchvision.ops.roi_align(
                features, numbered[rows], size, **options, aligned=True
            )
            pooled = pooled.index_copy(0, rows.nonzero()[:, 0], part)
    return pooled


def random_boxes(random: np.random.Generator, number: int, side: int) -> np.ndarray:
    """Returns [number, 4] boxes of 4 px to the whole side, within the image."""
    center = random.uniform(0, side, (number, 2))
    sides = np.exp(random.uniform(np.log(4), np.log(side), (number, 2)))
    boxes = np.concatenate([center - sides / 2, center + sides / 2], axis=1)
    return boxes.clip(0, side).astype(np.float32)
