"""What torchvision's own Faster R-CNN reaches in the default job: digits, on CPU.

    python -m experiments.torchvision_reference --json reference.json

The same work as `python -m fpn_jax.train`: the batches of its loader, the backbone and
the anchors of `digits_faster_rcnn`, its evaluation. Neck and box head are torchvision's
own: no norm in the neck, 1024 hidden features, a quarter of the samples positive. Only
training is timed, in the memory format that is faster here. Times are torchvision's own
only where its compiled operators load; the report says whether they did. `--detector
proposals` does the same for `experiments/digits_rpn.py`.

Needs the extra `test`, and the root of the repository as working directory.
"""

import copy
import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fpn_jax.command_line import parse, user_errors
from fpn_jax.data.batch import Batch
from fpn_jax.data.batching import Batching
from fpn_jax.data.example import Category
from fpn_jax.data.loader import Changes, evaluation_batches, training_batches
from fpn_jax.data.sources import open_source
from fpn_jax.data.transforms import HorizontalFlip
from fpn_jax.evaluation.coco import BOXES, PROPOSALS, evaluate_results
from fpn_jax.evaluation.image_pixels import in_image_pixels
from fpn_jax.evaluation.records import coco_ground_truth, image_results
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.runtime import num_cores
from fpn_jax.training.config import Config, OptimizerConfig
from fpn_jax.training.optimizer import learning_rate_schedule
from fpn_jax.types import Detections

torch, torchvision = import_torchvision()

detection = torchvision.models.detection

_DEFAULT = Config()  # of `python -m fpn_jax.train`
_DATA = _DEFAULT.data
_MEMORY_FORMATS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


@dataclasses.dataclass(frozen=True)
class Arguments:
    detector: Literal["faster_rcnn", "proposals"] = "faster_rcnn"
    steps: int = 1000
    batch_size: int = 8
    seconds: float = float("inf")  # training stops here if the steps are not done
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    seed: int = 0
    json: Path | None = None  # where to write the report


class Backbone(torch.nn.Module):
    """Half-width ResNet-18, FPN of 64 channels on C2 … C5 with P6."""

    def __init__(self):
        super().__init__()
        widths = [32, 64, 128, 256]
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(3, 32, 7, stride=2, padding=3, bias=False),
            torch.nn.BatchNorm2d(32),
            torch.nn.ReLU(inplace=True),
            torch.nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = torch.nn.ModuleList(
            _stage(before, width, stride)
            for before, width, stride in zip(
                [32, *widths], widths, [1, 2, 2, 2], strict=False
            )
        )
        for module in self.modules():  # as torchvision's ResNet does
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(
                    module.weight, mode="fan_out", nonlinearity="relu"
                )
        self.fpn = torchvision.ops.FeaturePyramidNetwork(
            widths,
            64,
            extra_blocks=torchvision.ops.feature_pyramid_network.LastLevelMaxPool(),
        )

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """P2 … P6, named "0" … "3" and "pool" as torchvision does."""
        x = self.stem(images)
        features = {}
        for number, stage in enumerate(self.stages):
            features[str(number)] = x = stage(x)
        return self.fpn(features)


def proposal_network() -> detection.rpn.RegionProposalNetwork:
    """torchvision's RPN with the numbers of the default job."""
    sizes = ((8,), (16,), (32,), (64,), (128,))
    return detection.rpn.RegionProposalNetwork(
        detection.anchor_utils.AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5),
        detection.rpn.RPNHead(64, 3),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 1000, "testing": 1000},
        post_nms_top_n={"training": 1000, "testing": 1000},
        nms_thresh=0.7,
    )


def roi_heads() -> detection.roi_heads.RoIHeads:
    """torchvision's box head for ten classes, 64 RoIs of an image in training."""
    return detection.roi_heads.RoIHeads(
        torchvision.ops.MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2),
        detection.faster_rcnn.TwoMLPHead(64 * 7**2, 1024),
        detection.faster_rcnn.FastRCNNPredictor(1024, 11),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=64,
        positive_fraction=0.25,
        bbox_reg_weights=None,  # its own: 10, 10, 5, 5
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=100,
    )


class Proposals(torch.nn.Module):
    """Backbone and RPN: `experiments/digits_rpn.py` in torchvision's parts."""

    def __init__(self):
        super().__init__()
        self.backbone, self.rpn = Backbone(), proposal_network()

    def forward(self, images: torch.Tensor):
        """Anchors of each image, objectness and deltas of all anchors, level counts."""
        pyramid = list(self.backbone(images).values())
        objectness, deltas = self.rpn.head(pyramid)
        anchors = self.rpn.anchor_generator(_image_list(images), pyramid)
        counts = [maps[0].numel() for maps in objectness]
        logits, deltas = detection.rpn.concat_box_prediction_layers(objectness, deltas)
        return anchors, logits, deltas, counts

    def loss(self, images: torch.Tensor, targets: list[dict]) -> torch.Tensor:
        """The RPN's loss, without the proposals that its own forward also makes."""
        anchors, logits, deltas, _ = self(images)
        labels, matched = self.rpn.assign_targets_to_anchors(anchors, targets)
        wanted = self.rpn.box_coder.encode(matched, anchors)
        return sum(self.rpn.compute_loss(logits, deltas, labels, wanted))

    def detect(self, images: torch.Tensor, sizes: list[tuple[int, int]]) -> list[dict]:
        """Boxes, scores and labels (all 0) of each image, by falling score."""
        anchors, logits, deltas, counts = self(images)
        boxes = self.rpn.box_coder.decode(deltas, anchors).view(len(images), -1, 4)
        found = zip(
            *self.rpn.filter_proposals(boxes, logits, sizes, counts), strict=True
        )
        return [
            {"boxes": boxes, "scores": scores, "labels": torch.zeros(len(scores))}
            for boxes, scores in found
        ]


class FasterRCNN(torch.nn.Module):
    """Backbone, RPN and box head, as torchvision puts them together."""

    def __init__(self):
        super().__init__()
        self.backbone, self.rpn = Backbone(), proposal_network()
        self.roi_heads = roi_heads()

    def loss(self, images: torch.Tensor, targets: list[dict]) -> torch.Tensor:
        """The losses of the RPN and of the box head."""
        shifted = [t | {"labels": t["labels"] + 1} for t in targets]  # 0: background
        features, listed = self.backbone(images), _image_list(images)
        proposals, rpn_losses = self.rpn(listed, features, shifted)
        _, losses = self.roi_heads(features, proposals, listed.image_sizes, shifted)
        return sum(rpn_losses.values()) + sum(losses.values())

    def detect(self, images: torch.Tensor, sizes: list[tuple[int, int]]) -> list[dict]:
        """Boxes, scores and labels 0 … 9 of each image, by falling score."""
        features = self.backbone(images)
        listed = detection.image_list.ImageList(images, sizes)
        proposals, _ = self.rpn(listed, features)
        found, _ = self.roi_heads(features, proposals, sizes)
        return [rows | {"labels": rows["labels"] - 1} for rows in found]


_DETECTORS = {"faster_rcnn": FasterRCNN, "proposals": Proposals}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("torchvision_reference"):
        chosen = parse(
            Arguments, arguments, command="torchvision_reference", description=__doc__
        )
        say_report(run(chosen), chosen.json)
    return 0


def say_report(report: Mapping[str, Any], file: Path | None) -> None:
    """Prints the figures of a run, and writes them where a file is named."""
    for name, value in report.items():
        print(f"{name}: {value}")
    if file is not None:
        file.write_text(json.dumps(report, indent=2) + "\n")


def run(arguments: Arguments) -> dict:
    """Trains and evaluates; what it took and what it reached."""
    torch.set_num_threads(num_cores())
    torch.manual_seed(arguments.seed)
    flipped = arguments.detector == "proposals"
    batches = training_batches(
        open_source(_DATA.source, _DATA.train),
        _batching(arguments.batch_size),
        # A mirrored digit is an object, but none of a class.
        changes=Changes((HorizontalFlip(),) if flipped else ()),
        seed=arguments.seed,
    )
    model = _DETECTORS[arguments.detector]()
    memory_format = min(
        _MEMORY_FORMATS, key=lambda name: _trial_seconds(model, next(batches), name)
    )
    model.to(memory_format=_MEMORY_FORMATS[memory_format])
    batches.set_state({"next_batch": 0})
    steps, seconds = train(model, batches, arguments, memory_format)
    batches.close()
    start = time.perf_counter()
    metrics = evaluate(model, memory_format, arguments.detector)
    return {
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "compiled_operators": torchvision.extension._has_ops(),
        "threads": torch.get_num_threads(),
        "memory_format": memory_format,
        "detector": arguments.detector,
        "batch_size": arguments.batch_size,
        "optimizer": arguments.optimizer,
        "learning_rate": arguments.learning_rate,
        "seed": arguments.seed,
        "steps": steps,
        "train_seconds": seconds,
        "images_per_second": steps * arguments.batch_size / seconds,
        "evaluation_seconds": time.perf_counter() - start,
        **metrics,
    }


def train(
    model: torch.nn.Module, batches, arguments: Arguments, memory_format: str
) -> tuple[int, float]:
    """Steps done and seconds taken; every 50 steps a line of progress."""
    config = dataclasses.replace(
        _DEFAULT.optimizer,
        name=arguments.optimizer,
        learning_rate=arguments.learning_rate,
    )
    optimizer = make_optimizer(model, config)
    schedule = learning_rate_schedule(config, arguments.steps)
    rates = np.asarray(schedule(np.arange(arguments.steps))).tolist()
    model.train()
    start = time.perf_counter()
    for step, rate in enumerate(rates, start=1):
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = training_step(model, optimizer, next(batches), memory_format)
        seconds = time.perf_counter() - start
        if step % 50 == 0 or step == arguments.steps:
            print(f"step {step}  loss {loss:.4f}  {seconds:.1f} s", flush=True)
        if seconds > arguments.seconds:
            break
    return step, seconds


def training_step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    memory_format: str,
) -> float:
    """The loss before the update."""
    targets = targets_of(batch)
    loss = model.loss(_pixels(batch["images"], memory_format), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def targets_of(batch: Batch, *, first_label: int = 0) -> list[dict]:
    """The objects of each image, as torchvision's losses take them."""
    rows = zip(*(batch[name] for name in ("boxes", "labels", "valid")), strict=True)
    return [
        {
            "boxes": torch.from_numpy(boxes[valid]),
            "labels": torch.from_numpy(labels[valid]).long() + first_label,
        }
        for boxes, labels, valid in rows
    ]


def make_optimizer(
    model: torch.nn.Module, config: OptimizerConfig
) -> torch.optim.Optimizer:
    """AdamW or SGD of what is trained; weight decay on kernels, or on all."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    others = config.weight_decay if config.decay_norms_and_biases else 0.0
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": others},
    ]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.peak)
    return torch.optim.SGD(groups, lr=config.peak, momentum=config.momentum)


@torch.inference_mode()
def evaluate(
    model: torch.nn.Module, memory_format: str, detector: str
) -> dict[str, float]:
    """COCO's figures of the validation images' boxes."""
    source = open_source(_DATA.source, _DATA.validation)
    classes = source.categories if detector == "faster_rcnn" else (Category(1, "any"),)
    results = []
    model.eval()
    for batch in evaluation_batches(source, _batching(_DEFAULT.evaluation.batch_size)):
        images = _pixels(batch["images"], memory_format)
        sizes = [tuple(size) for size in batch["sizes"].tolist()]
        for row, rows in enumerate(model.detect(images, sizes)):
            if batch["example_valid"][row]:
                found = in_image_pixels(
                    detections(rows),
                    size=batch["sizes"][row],
                    image_size=batch["image_sizes"][row],
                )
                image_id = int(batch["image_ids"][row])
                results += [
                    {"image_id": image_id, **result}
                    for result in image_results(found, classes)
                ]
    ground_truth = coco_ground_truth(
        (source[index] for index in range(len(source))), source.categories
    )
    measure = BOXES if detector == "faster_rcnn" else PROPOSALS
    return evaluate_results(ground_truth, results, measure)


def _batching(batch_size: int) -> Batching:
    return Batching(
        batch_size=batch_size,
        canvas=_DATA.canvas,
        max_boxes=16,  # digits have at most 12
        max_errors=_DATA.max_errors,
    )


def detections(rows: dict[str, torch.Tensor]) -> Detections:
    """torchvision's boxes of one image as ours, in its own pixels."""
    return Detections(
        boxes=rows["boxes"].numpy(),
        scores=rows["scores"].numpy(),
        labels=rows["labels"].numpy().astype(np.int32),
        valid=np.ones(len(rows["scores"]), bool),
    )


def _image_list(images: torch.Tensor) -> detection.image_list.ImageList:
    """Images that fill their canvas."""
    sizes = [tuple(images.shape[2:])] * len(images)
    return detection.image_list.ImageList(images, sizes)


def _stage(before: int, width: int, stride: int) -> torch.nn.Sequential:
    """Two basic blocks of torchvision's ResNet; the first strides and widens."""
    block = torchvision.models.resnet.BasicBlock
    shortcut = None
    if before != width:
        shortcut = torch.nn.Sequential(
            torch.nn.Conv2d(before, width, 1, stride, bias=False),
            torch.nn.BatchNorm2d(width),
        )
    first = block(before, width, stride, shortcut)
    return torch.nn.Sequential(first, block(width, width))


def _pixels(images: np.ndarray, memory_format: str) -> torch.Tensor:
    """Normalized images [B, 3, H, W] of uint8 [B, H, W, 3]."""
    mean = torch.tensor(_DEFAULT.model.image_mean)
    std = torch.tensor(_DEFAULT.model.image_std)
    pixels = (torch.from_numpy(images) / 255 - mean) / std
    pixels = pixels.permute(0, 3, 1, 2)
    return pixels.contiguous(memory_format=_MEMORY_FORMATS[memory_format])


def _trial_seconds(model: torch.nn.Module, batch: Batch, memory_format: str) -> float:
    """The fastest of four training steps of a copy."""
    trial = copy.deepcopy(model).to(memory_format=_MEMORY_FORMATS[memory_format])
    optimizer = make_optimizer(trial, _DEFAULT.optimizer)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        training_step(trial, optimizer, batch, memory_format)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(main())
