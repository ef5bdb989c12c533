"""Tables 1 to 3 of the FPN paper: what the pyramid is for, as deltas of one model.

    python -m experiments.fpn_ablation                          # table 1 on digits
    python -m experiments.fpn_ablation --table 2                # or 3
    python -m experiments.fpn_ablation --rows a c --seeds 0     # a part of it
    python -m experiments.fpn_ablation --data coco                  # ResNet-50, on COCO

Table 1 measures the proposals of an RPN; table 2 the boxes of a Fast R-CNN on fixed
proposals: those of row c of table 1 with the same seed, which is trained first where it
is not there; table 3 the boxes of a Faster R-CNN. Each row is trained with every seed
into a run directory of its own under --out; runs that are there are continued or, when
done, read. The table of all that is done is printed and written beside them, with a
plot.

Every row has the same sizes of anchors, on five levels or on one, and lets as many of
them enter suppression. A row of one level keeps the 1x1 and the 3x3 convolution of the
neck, so that rows differ in the pyramid only. Tables 2 and 3 have the two-layer box
head in all rows (the paper's (a) is a ResNet-50 with conv5 as its head), and table 3
has rows (d), (e) and (f) too.

On digits: a half-width ResNet-18, 64 channels and norms in the neck, anchors of 8 to
128 px, boxes of 56 px pooled from level 4. On other data: ResNet-50, 256 channels, the
paper's schedule of 8 devices (section 5) and anchors; give it ImageNet weights by
--pretrained.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import flax.linen as nn
import numpy as np
from matplotlib.figure import Figure

from experiments.runs import last_validation, one_line_errors, train_once
from fpn_jax.command_line import parse
from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.detectors.features import first_stage_grids
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.runtime import set_up
from fpn_jax.training.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    OptimizerConfig,
    TrainConfig,
)
from fpn_jax.zoo.digits import digits_faster_rcnn
from fpn_jax.zoo.paper import rpn_resnet50_fpn
from fpn_jax.zoo.torchvision import fasterrcnn_resnet50_fpn

ROWS = {
    "a": "on C4",
    "b": "on C5",
    "c": "FPN",
    "d": "bottom-up pyramid, no top-down path",
    "e": "top-down path, no laterals",
    "f": "only the finest level, P2",
}
# What a table shows of its metrics.
FIGURES = {
    1: (
        *("AR@100", "AR@1000", "ARs@1000", "ARm@1000", "ARl@1000"),
        *("AR50@1000", "AR75@1000"),
    ),
    2: ("AP", "AP50", "APs", "APm", "APl"),
    3: ("AP", "AP50", "APs", "APm", "APl"),
}
_PAPERS_CANVAS = (800, 1000)  # that its numbers of anchors are counted at


@dataclasses.dataclass(frozen=True)
class Arguments:
    table: Literal[1, 2, 3] = 1
    rows: tuple[Literal["a", "b", "c", "d", "e", "f"], ...] = tuple(ROWS)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int | None = None  # of each run; None: 300 on digits, the paper's elsewhere
    data: str | None = None  # what `data.source` of a run is; None: digits
    pretrained: str | None = None  # backbone weights, or a run, to start from
    frozen_stages: int | None = None  # of the backbone, 5 is all; None: the detector's
    out: Path = Path("runs/ablation")


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is not done yet; returns the exit status."""
    with one_line_errors("fpn_ablation"):
        chosen = parse(
            Arguments,
            sys.argv[1:] if arguments is None else arguments,
            command="fpn_ablation",
            description=__doc__,
        )
        set_up()
        for seed in chosen.seeds:
            base = base_config(chosen)
            if chosen.table == 2:
                proposals = dataclasses.replace(chosen, table=1)
                run = train_row(base_config(proposals), proposals, "c", seed)
                base = starting_from(base, str(run))
            for letter in chosen.rows:
                train_row(base, chosen, letter, seed)
        write_table(chosen)
    return 0


def train_row(base: Config, chosen: Arguments, letter: str, seed: int) -> Path:
    """Returns the run directory of a row, in which it has trained what was not done."""
    config = with_row(base, letter, seed)
    run = run_directory(chosen.out, chosen.table, letter, seed, config.train.steps)
    train_once(config, run)
    return run


def write_table(chosen: Arguments) -> None:
    """Prints and writes the table, and a plot, of the runs that are done."""
    config = base_config(chosen)
    results = read_results(chosen.out, chosen.table, config.train.steps)
    text = table_text(config.model, results, chosen.table)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / f"table{chosen.table}.md").write_text(text)
    if results:
        figure = plot_table(results, FIGURES[chosen.table])
        figure.savefig(chosen.out / f"table{chosen.table}.png", dpi=120)
    print(text)


def base_config(chosen: Arguments) -> Config:
    """Returns the configuration of row c, without a seed."""
    proposals = chosen.table == 1
    if chosen.data is None:
        model = digits_proposals() if proposals else digits_detector()
        data = DataConfig(canvas=(320, 320), batch_size=4, flip=proposals)
        optimizer = OptimizerConfig("muon", learning_rate=4e-3, warmup_steps=50)
        steps = chosen.steps or 300
    else:
        model = rpn_resnet50_fpn() if proposals else fasterrcnn_resnet50_fpn(80)
        data = DataConfig(chosen.data, canvas=(800, 1344), batch_size=16, max_boxes=100)
        steps = chosen.steps or (40_000 if proposals else 80_000)
        optimizer = OptimizerConfig(
            "sgd",
            learning_rate=0.02,
            schedule="step",
            milestones=(0.75,),
            warmup_steps=min(500, steps // 10),
        )
    if chosen.frozen_stages is not None:
        backbone = model.backbone.clone(frozen_stages=chosen.frozen_stages)
        model = model.clone(backbone=backbone)
    if chosen.table == 2:
        model = fast_rcnn(model, digits=chosen.data is None)
    return Config(
        model=model,
        data=data,
        optimizer=optimizer,
        train=TrainConfig(
            steps=steps,
            evaluate_every=steps,
            save_every=100 if chosen.data is None else 5000,
            pretrained=() if chosen.pretrained is None else (chosen.pretrained,),
        ),
        evaluation=EvaluationConfig(best="AR@1000" if proposals else "AP"),
    )


def digits_detector() -> TwoStage:
    """Returns the default job's detector, whose RoIs come from all levels.

    At the paper's 224 px, meant for images of 800, 95 of 100 digits would be pooled
    from P2: rows (c) and (f) would be one.
    """
    model = digits_faster_rcnn()
    pool = dataclasses.replace(model.box_head.pool, canonical_size=56.0)
    return model.clone(box_head=model.box_head.clone(pool=pool))


def digits_proposals() -> ProposalNetwork:
    """Returns the default job's backbone, neck and RPN.

    Its neck has norms, without which a pyramid learns slowly from random weights: in
    300 steps row (c) reached AR@1000 0.43 without them, 0.55 with them (one seed).
    """
    model = digits_faster_rcnn()
    return ProposalNetwork(backbone=model.backbone, neck=model.neck, head=model.rpn)


def fast_rcnn(model: nn.Module, *, digits: bool) -> FastRCNN:
    """Returns the box head of a Faster R-CNN on proposals that are fixed."""
    return FastRCNN(
        proposals=digits_proposals() if digits else rpn_resnet50_fpn(),
        backbone=model.backbone,
        neck=model.neck,
        box_head=model.box_head,
    )


def starting_from(config: Config, *runs: str) -> Config:
    """Returns the configuration with these weights to start from, besides its own."""
    pretrained = (*config.train.pretrained, *runs)
    train = dataclasses.replace(config.train, pretrained=pretrained)
    return dataclasses.replace(config, train=train)


def with_row(config: Config, letter: str, seed: int) -> Config:
    """Returns the configuration of a row with a seed."""
    return dataclasses.replace(
        config,
        model=model_of_row(config.model, letter),
        train=dataclasses.replace(config.train, seed=seed),
    )


def model_of_row(model: nn.Module, letter: str) -> nn.Module:
    """Returns the detector of a row; `model` is that of row c."""
    neck = model.neck
    if letter in "ab":
        level = {"a": 4, "b": 5}[letter]
        backbone = model.backbone.clone(levels=(level,))
        neck = neck.clone(top_down=False, extra="none")
        return _on_one_level(model.clone(backbone=backbone, neck=neck), level)
    if letter == "d":
        return model.clone(neck=neck.clone(top_down=False))
    if letter == "e":
        return model.clone(neck=neck.clone(lateral=False))
    if letter == "f":
        neck = neck.clone(levels=(2,), extra="none")
        return _on_one_level(model.clone(neck=neck), 2)
    return model


def _on_one_level(model: nn.Module, level: int) -> nn.Module:
    """Returns the detector with all anchors, and all RoIs, on one level."""
    changes = {}
    if hasattr(model, "box_head"):
        pool = dataclasses.replace(model.box_head.pool, levels=(level,))
        changes["box_head"] = model.box_head.clone(pool=pool)
    for name in ("head", "rpn"):
        if (head := getattr(model, name, None)) is not None:
            num_levels = len(head.anchor_sizes)
            changes[name] = head.clone(
                anchor_sizes=(sum(head.anchor_sizes, ()),),
                pre_nms=num_levels * head.pre_nms,
                training_pre_nms=num_levels * head.training_pre_nms,
            )
    return model.clone(**changes)


def num_anchors(model: nn.Module, canvas: tuple[int, int] = _PAPERS_CANVAS) -> int:
    """Returns how many anchors a detector has on a canvas of any size."""
    head, levels = facts(model).first_stage, first_stage_grids(model, (64, 64))
    cells = sum(
        -(-canvas[0] // 2**level) * -(-canvas[1] // 2**level) * len(sizes)
        for level, sizes in zip(levels, head.anchor_sizes, strict=True)
    )
    return cells * len(head.anchor_ratios)


def run_directory(out: Path, table: int, letter: str, seed: int, steps: int) -> Path:
    return out / f"table{table}-{letter}-seed{seed}-steps{steps}"


def read_results(
    out: Path, table: int, steps: int
) -> dict[str, list[dict[str, float]]]:
    """Returns the last validations of all runs that have done the steps, by row."""
    results = {}
    for run in sorted(out.glob(f"table{table}-*-seed*-steps{steps}")):
        if (last := last_validation(run)) is not None:
            letter = run.name.split("-")[1]
            results.setdefault(letter, []).append(last)
    return results


def table_text(model: nn.Module, results: Mapping, table: int) -> str:
    """Returns the table in Markdown: mean ± deviation of the seeds of each row."""
    names = FIGURES[table]
    lines = [
        f"| row | | anchors | runs | {' | '.join(names)} |",
        "|---|---|--:|--:|" + "--:|" * len(names),
    ]
    for letter, metrics in sorted(results.items()):
        cells = [
            f"{mean:.3f} ± {deviation:.3f}"
            for mean, deviation in (_statistics(metrics, name) for name in names)
        ]
        count = num_anchors(model_of_row(model, letter))
        lines.append(
            f"| ({letter}) | {ROWS[letter]} | {count / 1000:.0f}k | {len(metrics)} | "
            f"{' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def plot_table(results: Mapping, names: Sequence[str]) -> Figure:
    """Returns bars: a group for each figure, in it one with its deviation per row."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(results)
    for number, (letter, metrics) in enumerate(sorted(results.items())):
        values = np.array([_statistics(metrics, name) for name in names])
        axes.bar(
            np.arange(len(names)) + (number - (len(results) - 1) / 2) * width,
            values[:, 0],
            width,
            yerr=values[:, 1],
            error_kw={"linewidth": 1},
            label=f"({letter}) {ROWS[letter]}",
        )
    axes.set_xticks(range(len(names)), names)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        frameon=False,
        fontsize="small",
        ncols=2,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
    )
    return figure


def _statistics(metrics: Sequence[Mapping], name: str) -> tuple[float, float]:
    """Returns mean and standard deviation of the runs (0 for a single one)."""
    values = [float("nan") if row[name] is None else row[name] for row in metrics]
    single = len(values) == 1
    return float(np.mean(values)), 0.0 if single else float(np.std(values, ddof=1))


if __name__ == "__main__":
    sys.exit(main())
