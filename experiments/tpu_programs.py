"""What every detector takes on a TPU, by the estimate of the TPU's own compiler.

    python -m experiments.tpu_programs ROWS.jsonl [--topology v5e:1x1] \
        [--names NAME …] [--programs train detect1 detect4 detect8]

Compiles a training step (two images of 800x1344 a chip; YOLOX: eight of 640x640) and
detection in batches of one and eight a chip, in bfloat16. Each program is a line of
ROWS.jsonl as soon as it is compiled; those that have a line already are left out, so a
run that was stopped goes on. They also have the memory by kind and the ten dearest
instructions. Prints those of the topology as a table: the estimated time, in brackets
that of gathered rows, the share of the peak, the memory, and what chips exchange, in
brackets as much of it as goes on beside other work. Needs the extra `tpu`, and one to
ten minutes a program.
"""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import tyro

from fpn_jax.choices import check_choice
from fpn_jax.command_line import parse, user_errors
from fpn_jax.forecast.chips import CHIPS
from fpn_jax.forecast.topology import read_topology, set_up_topology
from fpn_jax.runtime import set_up

# The ten of torchvision, then one of each other kind.
NAMES = (
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "keypointrcnn_resnet50_fpn",
    "rpn_R_50_FPN",
    "cascade_rcnn",
    "yolox_s",
)
Program = Literal["train", "detect1", "detect4", "detect8"]


@dataclasses.dataclass(frozen=True)
class Arguments:
    rows: tyro.conf.Positional[Path]  # file of one line of JSON for each program
    topology: str = "v5e:1x1"  # chips to compile for
    names: tuple[str, ...] = NAMES  # detectors
    programs: tuple[Program, ...] = ("train", "detect1", "detect8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("tpu_programs"):
        chosen = parse(
            Arguments, arguments, command="tpu_programs", description=__doc__
        )
        for name in chosen.names:
            check_choice("names", name, NAMES)
        check_choice("topology", chosen.topology.partition(":")[0], CHIPS)
        read_topology(chosen.topology)
        known = read_rows(chosen.rows)
        for name in chosen.names:
            for program in chosen.programs:
                if (name, program, chosen.topology) in {_key(row) for row in known}:
                    continue
                row = _compiled(name, program, chosen.topology)
                with chosen.rows.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                known.append(row)
        print(table(row for row in known if row["topology"] == chosen.topology))
    return 0


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a file, none where it is not there."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Returns a line of Markdown for each detector, with a cell for each program."""
    of = {(row["name"], row["program"]): row for row in rows}
    names = dict.fromkeys(name for name, _ in of)
    programs = {program for _, program in of}
    columns = [name for name in get_args(Program) if name in programs]
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for name in names:
        cells = [_cell(of.get((name, program))) for program in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if not row["fits"]:
        from fpn_jax.forecast.estimate import needed_in_words  # imports JAX

        needed = needed_in_words(row["needed_bytes"], row["available_bytes"])
        return f"does not fit: {needed}"
    memory = sum(row["memory"].values()) - 2 * row["memory"]["shared"]
    rows = row["rows"] * 1e-5  # milliseconds at 10 ns each
    cell = (
        f"{row['seconds'] * 1e3:.1f} ms ({rows:.1f}), {row['share_of_peak']:.0%}, "
        f"{memory / 1e9:.1f} GB"
    )
    for kind, sent in row["collective_bytes"].items():
        hidden = row["hidden_bytes"].get(kind, 0)
        cell += f", {kind} {sent / 1e6:.1f} MB ({hidden / 1e6:.1f})"
    return cell


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["name"], row["program"], row["topology"]


def _compiled(name: str, program: str, topology_name: str) -> dict[str, Any]:
    topology = read_topology(topology_name)
    set_up_topology(topology)
    set_up()

    from fpn_jax.forecast import devices_of, forecast
    from fpn_jax.training.lowering import lower_step

    devices = devices_of(topology)
    config = _config(name, len(devices))
    if program == "train":
        lowered = lower_step(config, devices)
    else:
        size = int(program[len("detect") :]) * len(devices)
        lowered = _lower_detection(config, devices, size)
    made = dataclasses.asdict(forecast(lowered, topology.chip))
    return {"name": name, "program": program, "topology": topology_name, **made}


def _config(name: str, num_devices: int) -> Any:
    """Returns the settings of the recipes with a detector in bfloat16."""
    from experiments.recipe import coco_recipe
    from fpn_jax.detectors.fields import with_field
    from fpn_jax.training.fine_tuning import NAMED
    from fpn_jax.zoo.detectron2 import cascade_rcnn

    others = {"cascade_rcnn": cascade_rcnn}
    model = with_field((NAMED | others)[name](), "dtype", "bfloat16")
    config = coco_recipe(model)
    shape: dict[str, Any] = {"batch_size": 2 * num_devices}
    if name == "yolox_s":
        shape = {"batch_size": 8 * num_devices, "canvas": (640, 640)}
    elif "320" in name:
        shape |= {"canvas": (320, 640)}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **shape))


def _lower_detection(config: Any, devices: list[Any], size: int) -> Any:
    import jax
    import jax.numpy as jnp

    from fpn_jax.ops.meshes import traced_on
    from fpn_jax.training.programs import abstract_state
    from fpn_jax.training.state import inference_variables
    from fpn_jax.training.step import data_mesh, shardings

    mesh = data_mesh(devices)
    _, split = shardings(mesh)
    variables = inference_variables(abstract_state(config, mesh))
    height, width = config.data.canvas
    images = jax.ShapeDtypeStruct((size, height, width, 3), jnp.uint8, sharding=split)
    sizes = jax.ShapeDtypeStruct((size, 2), jnp.float32, sharding=split)
    detect = partial(config.model.apply, method="detect")
    return jax.jit(traced_on(mesh, detect)).lower(variables, images, sizes)


if __name__ == "__main__":
    sys.exit(main())
