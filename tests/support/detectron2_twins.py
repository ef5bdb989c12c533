"""Twins in torch of Detectron2's detectors, made of torchvision's parts.

There is no Detectron2 here. The twins keep to its conventions: BGR pixels of 0 … 255,
strides in the 1x1, anchors size by size at 2**level px, aligned and adaptive RoIAlign,
the background last.
"""

import math

import numpy as np

from fpn_jax.parity.layouts import numpy_state, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.weights.detectron2 import detector_from_detectron2
from fpn_jax.zoo import detectron2
from tests.support.cascade_twin import CascadeTwin

torch, torchvision = import_torchvision()

nn = torch.nn
BGR_MEAN = (103.53, 116.28, 123.675)
WIDTH, CHANNELS, HIDDEN, CLASSES = 8, 16, 24, 5
SIZE = (96, 128)


def narrow(detector):
    """Returns a detector of the zoo with few channels."""
    changes = {
        "backbone": detector.backbone.clone(width=WIDTH),
        "neck": detector.neck.clone(channels=CHANNELS),
    }
    if hasattr(detector, "rpn"):
        changes["rpn"] = detector.rpn.clone(pre_nms=50, post_nms=20)
    if hasattr(detector, "box_head"):
        changes["box_head"] = detector.box_head.clone(hidden_features=HIDDEN)
    if hasattr(detector, "box_heads"):
        changes["box_heads"] = tuple(
            head.clone(hidden_features=HIDDEN) for head in detector.box_heads
        )
    if hasattr(detector, "proposals"):
        changes["proposals"] = narrow(detector.proposals)
    for name in ("mask_head", "keypoint_head"):
        if getattr(detector, name, None) is not None:
            changes[name] = getattr(detector, name).clone(channels=CHANNELS)
    return detector.clone(**changes)


def torch_norm(channels: int) -> nn.Module:
    return torchvision.ops.FrozenBatchNorm2d(channels, eps=1e-5)


def torch_stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """Returns bottlenecks whose first 1x1 has the stride."""
    shortcut = nn.Sequential(
        nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), torch_norm(4 * width)
    )
    bottleneck = torchvision.models.resnet.Bottleneck
    first = bottleneck(inputs, width, 1, shortcut, norm_layer=torch_norm)
    first.conv1.stride = (stride, stride)
    rest = [
        bottleneck(4 * width, width, norm_layer=torch_norm) for _ in range(1, blocks)
    ]
    return nn.Sequential(first, *rest)


class BottomUp(nn.Module):
    """ResNet-50 on BGR pixels: C2 … C5."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = (
            nn.Conv2d(3, WIDTH, 7, 2, 3, bias=False),
            torch_norm(WIDTH),
        )
        inputs = WIDTH
        for i, blocks in enumerate((3, 4, 6, 3)):
            width = WIDTH * 2**i
            stage = torch_stage(inputs, width, blocks, stride=1 if i == 0 else 2)
            setattr(self, f"layer{i + 1}", stage)
            inputs = 4 * width

    def forward(self, x: torch.Tensor) -> dict:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
        levels = {}
        for level in range(2, 6):
            x = levels[f"{level}"] = getattr(self, f"layer{level - 1}")(x)
        return levels


class Twin(nn.Module):
    """The tensors of a Detectron2 model under our own names for torchvision's parts."""

    def __init__(self, levels: tuple[int, ...], extra: nn.Module, **heads: nn.Module):
        super().__init__()
        self.levels = levels
        self.bottom_up = BottomUp()
        inputs = [4 * WIDTH * 2 ** (level - 2) for level in levels]
        self.fpn = torchvision.ops.FeaturePyramidNetwork(inputs, CHANNELS, extra)
        self.heads = nn.ModuleDict(heads)

    def pyramid(self, images: np.ndarray) -> dict[int, torch.Tensor]:
        """Returns P2 … P6 or P3 … P7 of RGB images."""
        pixels = to_torch(images[..., ::-1]).float()
        pixels = pixels - torch.tensor(BGR_MEAN)[:, None, None]
        features = self.bottom_up(pixels)
        merged = self.fpn({f"{level}": features[f"{level}"] for level in self.levels})
        return dict(enumerate(merged.values(), start=self.levels[0]))


# Our name of a part of the twin -> Detectron2's, in the order of replacement.
NAMES = {
    "bottom_up.conv1": "backbone.bottom_up.stem.conv1",
    "bottom_up.bn1": "backbone.bottom_up.stem.conv1.norm",
    "downsample.0": "shortcut",
    "downsample.1": "shortcut.norm",
    **{f"bottom_up.layer{i}": f"backbone.bottom_up.res{i + 1}" for i in range(1, 5)},
    **{f".bn{i}": f".conv{i}.norm" for i in range(1, 4)},
    "fpn.extra_blocks": "backbone.top_block",
    "heads.rpn.conv.0.0": "proposal_generator.rpn_head.conv",
    "heads.rpn.cls_logits": "proposal_generator.rpn_head.objectness_logits",
    "heads.rpn.bbox_pred": "proposal_generator.rpn_head.anchor_deltas",
    "heads.box.fc6": "roi_heads.box_head.fc1",
    "heads.box.fc7": "roi_heads.box_head.fc2",
    "heads.cls_score": "roi_heads.box_predictor.cls_score",
    "heads.bbox_pred": "roi_heads.box_predictor.bbox_pred",
    "heads.cascade.": "roi_heads.",
    "heads.mask.": "roi_heads.mask_head.",
    "heads.keypoint.": "roi_heads.keypoint_head.",
    "heads.retinanet.": "head.",
}


def detectron2_state(twin: Twin) -> dict[str, np.ndarray]:
    """Returns the twin's tensors under Detectron2's names."""
    names = dict(NAMES)
    for i, level in enumerate(twin.levels):
        names[f"fpn.inner_blocks.{i}.0"] = f"backbone.fpn_lateral{level}"
        names[f"fpn.layer_blocks.{i}.0"] = f"backbone.fpn_output{level}"
    state = {}
    for name, array in numpy_state(twin).items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        state[name] = array
    return state


def lively(module: nn.Module) -> nn.Module:
    """Returns the module with norms and biases that are not their defaults."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1, generator=random)
    return randomize_norms(module)


def mask_twin() -> nn.Module:
    parts = nn.Module()
    for i in range(1, 5):
        setattr(parts, f"mask_fcn{i}", nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
    parts.deconv = nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, 2)
    parts.predictor = nn.Conv2d(CHANNELS, CLASSES, 1)
    return parts


def keypoint_twin() -> nn.Module:
    parts = nn.Module()
    for i in range(1, 9):
        setattr(parts, f"conv_fcn{i}", nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
    parts.score_lowres = nn.ConvTranspose2d(CHANNELS, 17, 4, 2, 1)
    return parts


def r_cnn_twin(**heads: nn.Module) -> Twin:
    torch.manual_seed(0)
    pool = torchvision.ops.feature_pyramid_network.LastLevelMaxPool()
    parts = {
        "rpn": torchvision.models.detection.rpn.RPNHead(CHANNELS, 3),
        "box": torchvision.models.detection.faster_rcnn.TwoMLPHead(
            CHANNELS * 49, HIDDEN
        ),
        "cls_score": nn.Linear(HIDDEN, CLASSES + 1),
        "bbox_pred": nn.Linear(HIDDEN, 4 * CLASSES),
    }
    return lively(Twin((2, 3, 4, 5), pool, **parts, **heads))


def cascade_twin() -> Twin:
    torch.manual_seed(0)
    pool = torchvision.ops.feature_pyramid_network.LastLevelMaxPool()
    parts = {
        "rpn": torchvision.models.detection.rpn.RPNHead(CHANNELS, 3),
        "cascade": CascadeTwin(CHANNELS, HIDDEN, CLASSES),
        "mask": mask_twin(),
    }
    return lively(Twin((2, 3, 4, 5), pool, **parts))


def retinanet_twin() -> Twin:
    torch.manual_seed(0)
    head = nn.Module()
    for name in ("cls_subnet", "bbox_subnet"):
        layers = [
            layer
            for _ in range(4)
            for layer in (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU())
        ]
        setattr(head, name, nn.Sequential(*layers))
    head.cls_score = nn.Conv2d(CHANNELS, 9 * CLASSES, 3, padding=1)
    head.bbox_pred = nn.Conv2d(CHANNELS, 9 * 4, 3, padding=1)
    extra = torchvision.ops.feature_pyramid_network.LastLevelP6P7(
        4 * WIDTH * 8, CHANNELS
    )
    return lively(Twin((3, 4, 5), extra, retinanet=head))


TWINS = {
    "faster_rcnn": r_cnn_twin,
    "mask_rcnn": lambda: r_cnn_twin(mask=mask_twin()),
    "keypoint_rcnn": lambda: r_cnn_twin(keypoint=keypoint_twin()),
    "cascade_mask_rcnn": cascade_twin,
    "retinanet": retinanet_twin,
}


def pair(name: str) -> tuple:
    """Returns a twin, our detector and its variables."""
    twin = TWINS[name]()
    detector = narrow(getattr(detectron2, name)(num_classes=CLASSES))
    return twin, detector, detector_from_detectron2(detectron2_state(twin), detector)


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)


def their_anchors(size: float, level: int, grid: tuple[int, int]) -> torch.Tensor:
    """Returns [cells * 3, 4]: ratios of height / width inside a cell, from (0, 0)."""
    anchors = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            x, y = column * 2**level, row * 2**level
            for ratio in (0.5, 1.0, 2.0):
                w = math.sqrt(size**2 / ratio)
                h = ratio * w
                anchors.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    return torch.tensor(anchors)


def all_anchors(sizes, level: int, grid: tuple[int, int]) -> torch.Tensor:
    """Returns the anchors of a level, of a cell size by size and ratio by ratio."""
    of_size = [their_anchors(size, level, grid).reshape(-1, 3, 4) for size in sizes]
    return torch.stack(of_size, dim=1).reshape(-1, 4)


def by_anchor(x: torch.Tensor, numbers: int) -> torch.Tensor:
    """Returns the map [1, A * numbers, H, W] of one image as [H W A, numbers]."""
    return x[0].permute(1, 2, 0).reshape(-1, numbers)


def their_proposals(
    twin: Twin, pyramid: dict, size: tuple[int, int], *, post_nms: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns logits and boxes of the proposals of one image, the best 50 of a level
    before suppression."""
    coder = torchvision.models.detection._utils.BoxCoder((1.0, 1.0, 1.0, 1.0))
    candidates = []
    objectness, deltas = twin.heads["rpn"](list(pyramid.values()))
    for i, (level, x) in enumerate(pyramid.items()):
        anchors = all_anchors((8 * 2**level,), level, x.shape[-2:])
        logits = by_anchor(objectness[i], 1)[:, 0]
        best, index = logits.topk(min(50, len(logits)))
        chosen = by_anchor(deltas[i], 4)[index]
        boxes = coder.decode_single(chosen, anchors[index])
        boxes = torchvision.ops.clip_boxes_to_image(boxes, size)
        seen = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        boxes, best = boxes[seen], best[seen]
        keep = torchvision.ops.nms(boxes, best, 0.7)
        candidates.append((best[keep], boxes[keep]))
    scores, boxes = (torch.cat(parts) for parts in zip(*candidates, strict=True))
    best, index = scores.topk(min(post_nms, len(scores)))
    return best, boxes[index]
