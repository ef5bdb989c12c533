"""Every neck under every head: 300 steps on digits.

    python -m experiments.necks_and_heads
    python -m experiments.necks_and_heads --necks bifpn --heads yolox fcos    # a part

Each pair is trained into a run directory under --out; those that are done are read. The
table of losses and of AP (of an RPN: AR@100) is printed and written beside them. The
backbone, the data and the optimizer are those of the default job.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import flax.linen as nn

from experiments import digits_fcos, digits_retinanet, digits_yolov3, digits_yolox
from experiments.runs import last_validation, one_line_errors, train_once
from fpn_jax.command_line import parse
from fpn_jax.detectors import ProposalNetwork
from fpn_jax.necks import FPN, PAFPN, BiFPN
from fpn_jax.runtime import set_up
from fpn_jax.training import Config, read_metrics
from fpn_jax.zoo import digits_proposal_network

Neck = Literal["fpn", "pafpn", "bifpn"]
Head = Literal["rpn", "retinanet", "fcos", "yolox", "yolov3"]
NECKS, HEADS = get_args(Neck), get_args(Head)
_DENSE = {
    "retinanet": digits_retinanet,
    "fcos": digits_fcos,
    "yolox": digits_yolox,
    "yolov3": digits_yolov3,
}


@dataclasses.dataclass(frozen=True)
class Arguments:
    necks: tuple[Neck, ...] = NECKS
    heads: tuple[Head, ...] = HEADS
    steps: int = 300
    out: Path = Path("runs/necks_and_heads")


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is not done yet; returns the exit status."""
    with one_line_errors("necks_and_heads"):
        chosen = parse(
            Arguments,
            sys.argv[1:] if arguments is None else arguments,
            command="necks_and_heads",
            description=__doc__,
        )
        set_up()
        for neck in chosen.necks:
            for head in chosen.heads:
                config = config_of(neck, head, chosen.steps)
                train_once(config, chosen.out / f"{neck}-{head}-steps{chosen.steps}")
        text = table_text(chosen.out, chosen.steps)
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "table.md").write_text(text)
        print(text)
    return 0


def config_of(neck: str, head: str, steps: int) -> Config:
    """Returns the configuration of a pair."""
    config = Config()
    if head == "rpn":
        model = digits_proposal_network()
        evaluation = dataclasses.replace(config.evaluation, best="AR@100")
        config = dataclasses.replace(config, model=model, evaluation=evaluation)
    else:
        config = _DENSE[head].get_config()
    train = dataclasses.replace(
        config.train, steps=steps, evaluate_every=steps, save_every=100
    )
    model = config.model.clone(neck=neck_of(neck, config.model))
    return dataclasses.replace(config, model=model, train=train)


def neck_of(name: str, model: nn.Module) -> nn.Module:
    """Returns a neck of 64 channels with the levels that the head expects."""
    extra = isinstance(model, ProposalNetwork)  # P6, for the largest anchors
    if name == "bifpn":
        return BiFPN(64, repeats=2, num_extra=int(extra))
    neck = {"fpn": FPN, "pafpn": PAFPN}[name]
    return neck(64, norm="batch", extra="pool" if extra else "none")


def table_text(out: Path, steps: int) -> str:
    """Returns the table in Markdown of all runs that have done the steps."""
    lines = [
        "| neck | head | loss of the first 20 steps | of the last 20 | AP |",
        "|---|---|--:|--:|--:|",
    ]
    for neck in NECKS:
        for head in HEADS:
            run = out / f"{neck}-{head}-steps{steps}"
            if (last := last_validation(run)) is None:
                continue
            rows = read_metrics(run)
            losses = [row["loss"] for row in rows if "loss" in row]
            figure = f"{last['AP']:.3f}"
            if head == "rpn":
                figure = f"AR@100 {last['AR@100']:.3f}"
            lines.append(
                f"| {neck} | {head} | {losses[0]:.2f} | {losses[-1]:.2f} | {figure} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
