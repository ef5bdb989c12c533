"""Lists the models whose weights come by name.

    fpn-jax models
    fpn-jax models fasterrcnn_resnet50_fpn

The table shows what each model finds, its published figures in percent (AP on COCO
val2017, AR of 1000 proposals, or accuracy on ImageNet), the size of its file where that
is published, and whether the file is in the cache. For a name, all that is known of the
model is printed.

Exit status: 0 done, 2 wrong input.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

from fpn_jax.command_line import Positional, arg, parse, user_errors

if TYPE_CHECKING:
    from fpn_jax.weights.models.entry import PublishedModel


@dataclass(frozen=True)
class Arguments:
    # Names of models to describe, by default the table of all.
    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[NAME …]")] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("models"):
        chosen = parse(Arguments, arguments, command="models", description=__doc__)
        from fpn_jax.weights.models.cache import published
        from fpn_jax.weights.models.table import MODELS

        if chosen.names:
            print("\n\n".join(described(published(name)) for name in chosen.names))
        else:
            print(models_table([*MODELS.values()]))
    return 0


def models_table(entries: "Sequence[PublishedModel]") -> str:
    """Returns the table, at most 80 columns wide, with a line above each group."""
    lines = [_row("name", "finds", "percent", "MiB", "cached")]
    for group, rows in groupby(entries, _group):
        lines += ["", group]
        for entry in rows:
            size = "" if entry.mebibytes is None else f"{entry.mebibytes:.0f}"
            numbers = " / ".join(f"{x:.1f}" for x in entry.figures.values())
            is_here = "yes" if _cached(entry) else ""
            lines.append(_row(entry.name, entry.task, numbers, size, is_here))
    return "\n".join(lines)


def described(entry: "PublishedModel") -> str:
    """Returns all that is known of a model, a line for each."""
    from fpn_jax.weights.models.cache import PLACE, model_folder

    size = "not published" if entry.mebibytes is None else f"{entry.mebibytes} MiB"
    digest = "not published: the first download counts"
    if entry.digest is not None:
        kind, _, digits = entry.digest.partition(":")
        digest = f"{kind.upper()} begins with {digits}"
    figures = ", ".join(f"{name} {x}" for name, x in entry.figures.items())
    return "\n".join(
        (
            entry.name,
            f"  file     {entry.url}",
            f"  size     {size}",
            f"  digest   {digest}",
            f"  license  {entry.license}",
            f"  finds    {entry.task}; published: {figures}",
            f"  inputs   {entry.inputs}",
            f"  cache    {model_folder(entry)}, or what {PLACE} names",
        )
    )


def _group(entry: "PublishedModel") -> str:
    kind = "classifiers" if entry.task == "classes" else "detectors"
    return f"{_LIBRARIES[entry.source]}'s {kind} ({entry.license})"


_LIBRARIES = {
    "torchvision": "torchvision",
    "detectron2": "Detectron2",
    "yolox": "YOLOX",
}


def _cached(entry: "PublishedModel") -> bool:
    from fpn_jax.weights.models.cache import model_folder

    return (model_folder(entry) / entry.file).exists()


def _row(name: str, finds: str, percent: str, size: str, cached: str) -> str:
    return f"{name:<38}{finds:<10}  {percent:<12}{size:>5}  {cached}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
