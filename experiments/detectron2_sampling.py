"""What adaptive sampling in RoIAlign, which is Detectron2's, changes in a box head.

    python -m experiments.detectron2_sampling

Detectron2 takes as many samples along a side of a bin as the bin has cells, rounded up;
a detector of ours takes 2, in static shapes. Here torchvision pools the same proposals
of a photograph in both ways, aligned, for a random Faster R-CNN (ResNet-50), and what
its box head makes of them is compared.

Needs the extra `test`, and the root of the repository as working directory.
"""

import sys

import numpy as np
from sklearn.datasets import load_sample_image

from fpn_jax.parity.layouts import image_tensor
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import lively_detector

torch, torchvision = import_torchvision()

_LEVELS = (2, 3, 4, 5)
_SIZE = 7


@torch.inference_mode()
def main() -> int:
    """Returns the exit status."""
    image = load_sample_image("china.jpg")
    model = lively_detector("fasterrcnn_resnet50_fpn", [image])
    canvas, _ = model.transform([image_tensor(image)])
    features = model.backbone(canvas.tensors)
    (boxes,), _ = model.rpn(canvas, features)
    pyramid = list(features.values())[: len(_LEVELS)]
    pooled = [_pool(pyramid, boxes, ratio) for ratio in (2, 0)]
    ours, theirs = (_decide(model, x, boxes) for x in pooled)
    best = torch.arange(len(boxes)), theirs[0].argmax(dim=1)

    spread = pooled[1].flatten(1).std(dim=1)
    difference = (pooled[0] - pooled[1]).square().mean(dim=(1, 2, 3)).sqrt()
    print(f"{len(boxes)} proposals of one photograph: median, 95 % are below")
    _print("features, of their spread within the box", difference / spread)
    _print("score of the best class", (ours[0] - theirs[0])[best].abs())
    moved = (ours[1] - theirs[1])[best].abs().amax(dim=1)
    sides = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1)
    _print("its box, of the proposal's longer side", moved / sides)
    return 0


def _pool(pyramid: list, boxes: torch.Tensor, sampling_ratio: int) -> torch.Tensor:
    """Features [N, C, 7, 7] of the boxes, each from its level; 0: adaptive."""
    levels = torchvision.ops.poolers.LevelMapper(min(_LEVELS), max(_LEVELS))([boxes])
    pooled = torch.zeros(len(boxes), pyramid[0].shape[1], _SIZE, _SIZE)
    for index, (level, features) in enumerate(zip(_LEVELS, pyramid, strict=True)):
        pooled[levels == index] = torchvision.ops.roi_align(
            features,
            [boxes[levels == index]],
            _SIZE,
            spatial_scale=2.0**-level,
            sampling_ratio=sampling_ratio,
            aligned=True,
        )
    return pooled


def _decide(
    model: torch.nn.Module, pooled: torch.Tensor, boxes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores [N, K] and boxes [N, K, 4] of each proposal's classes."""
    heads = model.roi_heads
    logits, deltas = heads.box_predictor(heads.box_head(pooled))
    decoded = heads.box_coder.decode(deltas, [boxes])
    return logits.softmax(dim=1)[:, 1:], decoded[:, 1:]


def _print(name: str, values: torch.Tensor) -> None:
    median, most = np.quantile(values.numpy(), (0.5, 0.95))
    print(f"{name}: {median:.2g}, {most:.2g}")


if __name__ == "__main__":
    sys.exit(main())
