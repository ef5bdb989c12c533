"""Measures how fast operators and detectors are, beside torchvision.

    fpn-jax benchmark
    fpn-jax benchmark nms.random.0.5 --peer torchvision --json nms.json

Contestants take turns, and their outputs are compared before they are timed. Rates are
also given as shares of the best matrix product of this machine. torch computes on the
same kind of device as JAX.

Exit status: 0 done, 2 wrong input.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import jax
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from fpn_jax.benchmarks.detectors import GFLOP, inference_contest, training_contest
from fpn_jax.benchmarks.folder import folder_contest
from fpn_jax.benchmarks.loading import loading_contest
from fpn_jax.benchmarks.matmul import matmul_peak
from fpn_jax.benchmarks.muon import muon_contest
from fpn_jax.benchmarks.network import forward_contest
from fpn_jax.benchmarks.nms import nms_contest
from fpn_jax.benchmarks.roi_align import roi_align_backward, roi_align_forward
from fpn_jax.benchmarks.setting import (
    Precision,
    Setting,
    check_precision,
    float32_products,
)
from fpn_jax.benchmarks.timing import (
    OURS,
    Contest,
    busy_share,
    take_turns,
)
from fpn_jax.choices import check_choice
from fpn_jax.command_line import (
    Positional,
    arg,
    check_output,
    parse,
    user_errors,
)
from fpn_jax.runtime import num_cores, set_up

_PEAK = "matmul.peak"
# A recipe's step, for which most machines lack the memory: it is measured by name only.
_RECIPE = "train.retinanet.16x800x1344"
# The pyramid of a 3:4 image of COCO, and about the boxes that a box head trains on.
_REGIONS = {"canvas": (800, 1344), "channels": 256, "num_boxes": 500}
# Rows that have a precision, which `--precision` sets.
_WITH_PRECISION: dict[str, Callable[..., Contest]] = {
    _PEAK: matmul_peak,
    "forward.resnet50_fpn_rpn.800x1344": partial(
        forward_contest,
        height=800,
        width=1344,  # a 3:4 image of COCO, resized and padded
        flop=403.3e9,  # backbone 175.2, FPN 121.8, RPN head 106.3
    ),
    **{
        f"infer.{name.partition('_')[0]}": partial(
            inference_contest, name=name, canvas=(800, 1333), flop=1e9 * gflop
        )
        for name, gflop in GFLOP.items()
    },
    **{
        f"train.{name}": partial(
            training_contest, name=f"{name}_resnet50_fpn", canvas=(320, 320)
        )
        for name in ("fasterrcnn", "retinanet")
    },
    _RECIPE: partial(
        training_contest,
        name="retinanet_resnet50_fpn",
        canvas=(800, 1344),
        batch_size=16,
    ),
}
ROWS: dict[str, Callable[..., Contest]] = {
    **_WITH_PRECISION,
    "roi_align.forward": partial(roi_align_forward, **_REGIONS),
    "roi_align.backward": partial(roi_align_backward, **_REGIONS),
    "muon": muon_contest,
    "loading": loading_contest,
    "folder": folder_contest,
    **{
        f"nms.{boxes}.{threshold}": partial(
            nms_contest, boxes=boxes, threshold=threshold
        )
        for boxes in ("random", "clustered")
        for threshold in (0.5, 0.7)
    },
}
_BUSY = 0.1  # of the cores' time; more than this spoils a ratio
_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "torchvision")


@dataclass(frozen=True)
class Arguments:
    # Names of the rows to measure, by default all but the training step of 16 images.
    rows: Annotated[Positional[tuple[str, ...]], arg(metavar="[ROW …]")] = ()
    # Library to compare with.
    peer: Literal["torchvision"] | None = None
    # Precision of detectors and of the matrix product on both sides. The rows muon and
    # folder, and operators, compute in float32.
    precision: Precision = "float32"
    # Compare detectors with torchvision's by torch.compile too, which takes minutes.
    torch_compile: bool = False
    # File for the environment and the results as JSON.
    json: Path | None = None
    # Measure even if other programs use the cores.
    allow_busy: bool = False


@dataclass(frozen=True)
class Result:
    """One contestant in one row."""

    row: str
    contestant: str
    median: float  # seconds
    minimum: float  # seconds
    runs: int
    ratio: float  # of its time to ours, median of the turns: above 1 we are faster
    gflops: float | None  # at the median
    peak_share: float | None  # of the best matrix product of this process
    difference: float | None  # largest of ours from the peers, relative


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("benchmark"):
        set_up()
        chosen = parse(Arguments, arguments, command="benchmark", description=__doc__)
        if chosen.peer is not None:  # two libraries share the memory of a GPU
            os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        check_output("json", chosen.json)
        environment, rows = benchmark(chosen)
        results = []
        try:  # a row that fails keeps those before it
            for measured in rows:
                results += measured
                if chosen.json is not None:
                    _write(chosen.json, environment, results)
        finally:
            console = Console()
            # A file is as wide as the table.
            console = console if console.is_terminal else Console(width=140)
            if results:
                console.print(results_table(results))
    return 0


def benchmark(arguments: Arguments) -> tuple[dict, Iterator[list[Result]]]:
    """The environment, and the results of each row, in the order given.

    A row is measured when the iterator comes to it.

    Raises:
      ValueError: for an unknown row, a peer that does not load or not on the device
        that JAX computes on, a precision that it does not have, or a busy machine.
    """
    peer = arguments.peer is not None
    for name in arguments.rows:
        check_choice("row", name, tuple(ROWS))
    if arguments.torch_compile and not peer:
        raise ValueError("--torch-compile needs --peer torchvision")
    check_precision(arguments.precision, peer=peer)
    busy = busy_share()
    if busy is not None and busy > _BUSY and not arguments.allow_busy:
        raise ValueError(
            f"other programs use {busy:.0%} of the cores' time, at most {_BUSY:.0%} "
            "gives a true ratio; wait, or add --allow-busy"
        )
    setting = Setting(arguments.precision, arguments.torch_compile)
    measured = _measured(arguments.rows or usual_rows(), setting, peer)
    return describe_environment(busy) | asdict(setting), measured


def usual_rows() -> tuple[str, ...]:
    """Returns the names of the rows that are measured if none is named."""
    return tuple(name for name in ROWS if name != _RECIPE)


def _measured(
    names: Sequence[str], setting: Setting, peer: bool
) -> Iterator[list[Result]]:
    peak = None
    for name in names:
        print(f"measuring {name}", file=sys.stderr)
        chosen = {"setting": setting} if name in _WITH_PRECISION else {}
        precision = setting.precision if chosen else "float32"
        with float32_products(precision, peer=peer):
            results = _measure(name, ROWS[name](peer, **chosen), peak)
        if name == _PEAK:
            peak = max(result.gflops or 0.0 for result in results)
        yield results


def _write(file: Path, environment: dict, results: Sequence[Result]) -> None:
    found = {"environment": environment, "results": [asdict(x) for x in results]}
    file.write_text(json.dumps(found, indent=2) + "\n")


def _measure(name: str, contest: Contest, peak: float | None) -> list[Result]:
    timings = take_turns(contest)
    results = []
    for contestant, timing in timings.items():
        gflops = contest.flop and contest.flop / timing.median / 1e9
        results.append(
            Result(
                row=name,
                contestant=contestant,
                median=timing.median,
                minimum=timing.minimum,
                runs=contest.runs,
                ratio=timing.ratio,
                gflops=gflops,
                peak_share=gflops and peak and gflops / peak,
                difference=contest.difference,
            )
        )
    return results


def describe_environment(busy: float | None) -> dict:
    """Returns the conditions of a result: versions, cores, flags, and other load."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": num_cores(),
        "device": jax.devices()[0].device_kind,
        "busy_share": busy,
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }


def results_table(results: Sequence[Result]) -> Table:
    """The results as a table for the terminal."""
    table = Table(box=SIMPLE)
    for name in ("row", "by"):
        table.add_column(name, no_wrap=True)
    for name in ("median ms", "min ms", "time/jax", "GFLOP/s", "of peak", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        ours = result.contestant == OURS
        if ours:
            table.add_section()
        table.add_row(
            result.row if ours else "",
            result.contestant,
            f"{1e3 * result.median:.2f}",
            f"{1e3 * result.minimum:.2f}",
            f"{result.ratio:.2f}",
            _cell(result.gflops, ".0f"),
            _cell(result.peak_share, ".0%"),
            _cell(result.difference, ".1e") if ours else "",
        )
    return table


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The name of the CPU, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
