"""What torchvision's detectors reach on blood cells, trained as `bccd_….py` train ours.

    python -m experiments.bccd_torchvision BCCD mobilenet_v2-b0353104.pth \
        [--detector fcos] [--seed 1] [--json report.json]

The batches are those of our loader, in its order; backbone, weights, frozen parts,
anchors, optimizer, rates and steps are those of our configs, and so is the evaluation.
Heads, losses, samples and suppression are torchvision's own. Only the steps are timed.

Needs the extra `test`, and the root of the repository as working directory.
"""

import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from experiments.torchvision_reference import (
    detections,
    make_optimizer,
    say_report,
    targets_of,
)
from fpn_jax.command_line import parse, user_errors
from fpn_jax.data.example import Source
from fpn_jax.data.sources import decodable
from fpn_jax.evaluation.coco import BOXES, evaluate_results
from fpn_jax.evaluation.records import coco_ground_truth, image_results
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.runtime import num_cores
from fpn_jax.training import Config, load_experiment
from fpn_jax.training.data import training_data, training_source, validation_source
from fpn_jax.training.optimizer import learning_rate_schedule

torch, torchvision = import_torchvision()

_HERE = Path(__file__).parent
_SIDES = (32, 64, 128, 256)  # of the anchors, level by level
_STRIDES = (8, 16, 32, 64)  # of FCOS's points


@dataclasses.dataclass(frozen=True)
class Arguments:
    data: tyro.conf.Positional[Path]  # the folder of Pascal VOC
    weights: tyro.conf.Positional[Path]  # torchvision's ImageNet weights
    detector: Literal["faster_rcnn", "fcos"] = "faster_rcnn"
    seed: int = 0
    steps: int | None = None  # by default our config's
    json: Path | None = None  # where to write the report


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("bccd_torchvision"):
        chosen = parse(
            Arguments, arguments, command="bccd_torchvision", description=__doc__
        )
        say_report(run(chosen), chosen.json)
    return 0


def run(chosen: Arguments) -> dict[str, Any]:
    """Trains and evaluates; what it took and what it reached."""
    torch.set_num_threads(num_cores())
    torch.manual_seed(chosen.seed)
    config = config_of(chosen)
    model = DETECTORS[chosen.detector](chosen.weights, config.data.canvas)
    source = training_source(config)
    batches = training_data(config, source)
    first_label = _FIRST_LABELS[chosen.detector]
    seconds = train(model, batches, config, first_label)
    batches.close()
    metrics = evaluate(model, validation_source(config), first_label)
    images = config.train.steps * config.data.batch_size
    return {
        "detector": chosen.detector,
        "seed": chosen.seed,
        "compiled_operators": torchvision.extension._has_ops(),
        "steps": config.train.steps,
        "train_seconds": seconds,
        "images_per_second": images / seconds,
        **metrics,
    }


def config_of(chosen: Arguments) -> Config:
    """Returns our config of the detector, for this data and seed."""
    config = load_experiment(_HERE / f"bccd_{chosen.detector}.py")
    steps = chosen.steps or config.train.steps
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, source=str(chosen.data)),
        train=dataclasses.replace(config.train, seed=chosen.seed, steps=steps),
    )


def backbone(weights: Path, channels: int) -> torch.nn.Module:
    """torchvision's `mobilenet_backbone` with the levels of ours, from ImageNet."""
    network = torchvision.models.mobilenet_v2(
        norm_layer=torchvision.ops.misc.FrozenBatchNorm2d
    )
    network.load_state_dict(torch.load(weights, weights_only=True))
    extractor = torchvision.models.detection.backbone_utils._mobilenet_extractor
    made = extractor(network, fpn=True, trainable_layers=3, returned_layers=[2, 3, 4])
    # It knows pyramids of 256 channels only.
    made.fpn = torchvision.ops.FeaturePyramidNetwork(
        [block[0].in_channels for block in made.fpn.inner_blocks],
        channels,
        extra_blocks=made.fpn.extra_blocks,
    )
    made.out_channels = channels
    return made


def faster_rcnn(weights: Path, canvas: tuple[int, int]) -> torch.nn.Module:
    """Faster R-CNN for three classes and the background."""
    anchors = torchvision.models.detection.rpn.AnchorGenerator(
        tuple((side,) for side in _SIDES), ((0.5, 1.0, 2.0),) * len(_SIDES)
    )
    pool = torchvision.ops.MultiScaleRoIAlign(["0", "1", "2"], 7, 2)
    return torchvision.models.detection.FasterRCNN(
        backbone(weights, channels=256),
        num_classes=4,
        rpn_anchor_generator=anchors,
        box_roi_pool=pool,
        box_batch_size_per_image=256,
        min_size=min(canvas),
        max_size=max(canvas),
    )


def fcos(weights: Path, canvas: tuple[int, int]) -> torch.nn.Module:
    """FCOS for three classes; labels count from 0, as ours."""
    points = torchvision.models.detection.anchor_utils.AnchorGenerator(
        tuple((stride,) for stride in _STRIDES), ((1.0,),) * len(_STRIDES)
    )
    return torchvision.models.detection.FCOS(
        backbone(weights, channels=128),
        num_classes=3,
        anchor_generator=points,
        score_thresh=0.05,
        min_size=min(canvas),
        max_size=max(canvas),
    )


DETECTORS = {"faster_rcnn": faster_rcnn, "fcos": fcos}
# The label of the first class: 0 is the background of an R-CNN.
_FIRST_LABELS = {"faster_rcnn": 1, "fcos": 0}


def train(
    model: torch.nn.Module, batches: Iterator, config: Config, first_label: int
) -> float:
    """Seconds that the steps took; every 50 steps a line of progress."""
    optimizer = make_optimizer(model, config.optimizer)
    steps = config.train.steps
    schedule = learning_rate_schedule(config.optimizer, steps)
    rates = np.asarray(schedule(np.arange(steps))).tolist()
    model.train()
    start = time.perf_counter()
    for step, rate in enumerate(rates, start=1):
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = next(batches)
        targets = targets_of(batch, first_label=first_label)
        loss = sum(model(_pixels(batch["images"]), targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step == steps:
            seconds = time.perf_counter() - start
            print(f"step {step}  loss {loss.item():.4f}  {seconds:.1f} s", flush=True)
    return time.perf_counter() - start


@torch.inference_mode()
def evaluate(
    model: torch.nn.Module, source: Source, first_label: int
) -> dict[str, float]:
    """COCO's figures of the validation images' boxes."""
    results, examples = [], []
    model.eval()
    for example in decodable(source):
        (rows,) = model(_pixels(example.image[None]))
        found = rows | {"labels": rows["labels"] - first_label}
        results += [
            {"image_id": example.image_id, **row}
            for row in image_results(detections(found), source.categories)
        ]
        examples.append(example)
    ground_truth = coco_ground_truth(examples, source.categories)
    return evaluate_results(ground_truth, results, BOXES)


def _pixels(images: np.ndarray) -> list[torch.Tensor]:
    """Images [3, H, W] in 0 … 1; the model normalizes them."""
    return [torch.from_numpy(x).permute(2, 0, 1) / 255 for x in images]


if __name__ == "__main__":
    sys.exit(main())
