"""The report of `preflight`: the programs of a run, one after the other."""

from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fpn_jax.compilation import free_bytes
from fpn_jax.forecast.costs import SECONDS_PER_ROW, UNKNOWN_RUNS
from fpn_jax.forecast.estimate import Forecast, Memory, forecast, needed_in_words
from fpn_jax.forecast.search import Trial, largest_that_fits
from fpn_jax.forecast.topology import Topology, devices_of
from fpn_jax.training.batch_size import batch_size_for, with_batch_size
from fpn_jax.training.config import Config
from fpn_jax.training.lowering import lower_evaluation, lower_step, num_programs
from fpn_jax.training.programs import check_shared

_NUM_MODULES = 10


def preflight_report(
    config: Config, topology: Topology, *, search: bool
) -> dict[str, Any]:
    """Prints what the programs of a run need on a topology, and returns the same."""
    console = Console()
    check_shared(config, "data", "evaluation", devices=topology.num_devices)
    devices = devices_of(topology)
    images, steps = config.data.batch_size, config.train.steps
    height, width = config.data.canvas
    console.print(
        f"{topology.name}: {_counted(len(devices))}, batches of {images} on a canvas "
        f"of {height}x{width}, {steps} steps, "
        f"{num_programs(config)} programs in all",
        highlight=False,
    )
    if (most := config.train.steps_per_call) > 1:
        console.print(
            f"train.steps_per_call is {most}: one step is shown, and a call holds "
            f"{most - 1} more batches in memory",
            highlight=False,
        )
    step = _compiled("training step", lower_step(config, devices), topology, console)
    _say_time(step, images, steps, console)
    evaluation = _compiled(
        "evaluation step", lower_evaluation(config, devices), topology, console
    )
    best = None
    if search and topology.chip is not None:
        best = _largest_batch(config, step, topology, devices, console)
    return {
        "topology": topology.name,
        "devices": len(devices),
        "batch_size": images,
        "fits": step.fits and evaluation.fits,
        "training_step": _plain(step),
        "evaluation_step": _plain(evaluation),
        "images_per_second": images / step.seconds if step.seconds else None,
        "hours": step.seconds * steps / 3600 if step.seconds else None,
        "largest_batch_size": best,
        "programs": num_programs(config),
    }


def chosen_batch(config: Config, topology: Topology) -> Config:
    """Returns the config for the batch that `auto` stands for, and says it.

    Raises MemoryError where one image a device does not fit, and ValueError for an
    evaluation that the devices cannot share.
    """
    check_shared(config, "evaluation", devices=topology.num_devices)
    console = Console()
    console.print(
        "compiling steps of one and two images for --data.batch-size auto",
        highlight=False,
    )
    chip = topology.chip
    memory = chip.memory if chip is not None else free_bytes()
    size, line = batch_size_for(config, devices_of(topology), memory)
    console.print(line, highlight=False)
    return with_batch_size(config, size)


def _counted(devices: int) -> str:
    return f"{devices} device{'s' * (devices != 1)}"


def _compiled(
    what: str, lowered: Any, topology: Topology, console: Console
) -> Forecast:
    console.print(f"compiling the {what}", highlight=False)
    made = forecast(lowered, topology.chip)
    if not made.fits:
        needed = needed_in_words(made.needed_bytes, made.available_bytes)
        console.print(f"[bold]{what}: does not fit[/bold], {needed}")
        return made
    console.print(_memory_line(what, made, topology), highlight=False)
    return made


def _memory_line(what: str, made: Forecast, topology: Topology) -> str:
    if made.memory is None:
        return f"{what}: the compiler does not tell its memory"
    memory = made.memory
    of = ""
    if topology.chip is not None:
        of = f" of {topology.chip.memory / 1e9:.0f}"
    return (
        f"{what}: {memory.total / 1e9:.2f}{of} GB of a device: arguments "
        f"{memory.arguments / 1e9:.2f}, results {memory.results / 1e9:.2f} "
        f"({memory.shared / 1e9:.2f} in place), between {memory.working / 1e9:.2f}; "
        f"compiled in {made.compiled_in:.0f} s"
    )


def _say_time(made: Forecast, images: int, steps: int, console: Console) -> None:
    if made.seconds is None:
        return
    share = made.share_of_peak or 0.0
    console.print(
        f"a step is estimated at {made.seconds * 1e3:.1f} ms, "
        f"{images / made.seconds:.0f} images/s, {share:.0%} of the peak; "
        f"{steps} steps in {_duration(made.seconds * steps)}",
        highlight=False,
    )
    console.print(
        f"in it {made.rows:,} gathered or scattered rows, without an estimate, are "
        f"charged {SECONDS_PER_ROW * 1e9:.0f} ns each, {made.moved / 1e6:.0f} MB that "
        f"others move at the memory's speed; {made.guessed_loops} loops end by their "
        f"data and are taken {UNKNOWN_RUNS} times",
        highlight=False,
    )
    for kind, number in made.collective_bytes.items():
        console.print(
            f"{kind}: {number / 1e6:.1f} MB, {made.hidden_bytes[kind] / 1e6:.1f} of "
            "them beside other work",
            highlight=False,
        )
    modules = Table("ms", "module", title="dearest modules", title_justify="left")
    for name, seconds in list(made.modules.items())[:_NUM_MODULES]:
        modules.add_row(f"{seconds * 1e3:.2f}", escape(name))
    console.print(modules)
    parts = Table("ms", "instruction", title="dearest parts", title_justify="left")
    for seconds, name in made.instructions:
        parts.add_row(f"{seconds * 1e3:.2f}", escape(name))
    console.print(parts)


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _largest_batch(
    config: Config,
    step: Forecast,
    topology: Topology,
    devices: list[Any],
    console: Console,
) -> int:
    """Returns the largest batch of all devices that fits, and says what it tries."""
    count = len(devices)
    tried: dict[int, Forecast] = {config.data.batch_size // count: step}

    def try_number(per_device: int) -> Trial:
        if per_device not in tried:
            size = per_device * count
            console.print(f"trying a batch of {size}", highlight=False)
            other = with_batch_size(config, size)
            tried[per_device] = forecast(lower_step(other, devices), topology.chip)
        made = tried[per_device]
        needed = made.memory.total if made.memory else made.needed_bytes
        return Trial(made.fits, needed, made.available_bytes)

    assert topology.chip is not None
    best = count * largest_that_fits(
        try_number, config.data.batch_size // count, topology.chip.memory
    )
    console.print(f"the largest batch that fits: {best}", highlight=False)
    if all(made.fits for made in tried.values()):
        console.print(
            "no batch was refused: by a line through those tried, one that is more "
            f"than a sixteenth larger passes {topology.chip.memory / 1e9:.0f} GB of a "
            "device, which the compiler may still take",
            highlight=False,
        )
    return best


def _plain(made: Forecast) -> dict[str, Any]:
    memory: Memory | None = made.memory
    plain = asdict(replace(made, memory=None))
    if memory is not None:
        plain["memory"] = {**asdict(memory), "total": memory.total}
    return plain
