"""Differences between a file's tensors and a model's, in a few lines."""

from collections.abc import Sequence
from difflib import get_close_matches

_LINES = 5  # of missing names, of unknown ones, and of shapes
_COMPARED = 2000  # names: a nearest one among more would take seconds


def misfit_report(
    missing: Sequence[str],
    extra: Sequence[str],
    misshapen: Sequence[str],
    names: Sequence[str],
) -> str:
    """Describes a misfit of a state dict: a line in sum, and a few for the names.

    Up to five names are listed, each with the nearest one on the other side; of more,
    the modules that they are in, with how many there are and one of them.

    Args:
        missing: names that the model needs.
        extra: names that it does not know.
        misshapen: names with both shapes.
        names: all names of the model, among which `extra` may have a nearest one.
    """
    lines = [
        f"state_dict does not fit the model: {len(missing)} missing, {len(extra)} "
        f"unknown, {len(misshapen)} of another shape"
    ]
    lines += _listed("missing", missing, extra)
    lines += _listed("unknown", extra, missing or names)
    lines += [f"  shape of {problem}" for problem in misshapen[:_LINES]]
    if len(misshapen) > _LINES:
        lines.append(f"  {len(misshapen) - _LINES} more of another shape")
    return "\n".join(lines)


def nearest_hint(name: str, candidates: Sequence[str]) -> str:
    """Returns " (nearest: …)" with the most similar of some names, or ""."""
    matches = get_close_matches(name, candidates[:_COMPARED], n=1)
    return f" (nearest: {matches[0]})" if matches else ""


def by_module(names: Sequence[str], most: int) -> dict[str, list[str]]:
    """Returns the names by the modules they are in, which are at most `most`.

    The largest module is divided into those inside of it, as long as there is room.
    """
    groups = {"": list(names)}
    while divided := _divided(groups, most):
        groups = divided
    return groups


def _divided(groups: dict[str, list[str]], most: int) -> dict[str, list[str]] | None:
    for module in sorted(groups, key=lambda module: -len(groups[module])):
        inside: dict[str, list[str]] = {}
        for name in groups[module]:
            part, dot, _ = name[len(module) :].partition(".")
            inside.setdefault(f"{module}{part}{dot}", []).append(name)
        if inside.keys() != {module} and len(groups) - 1 + len(inside) <= most:
            rest = {key: group for key, group in groups.items() if key != module}
            return rest | inside
    return None


def _listed(kind: str, names: Sequence[str], others: Sequence[str]) -> list[str]:
    if len(names) <= _LINES:
        return [f"  {kind} {name}{nearest_hint(name, others)}" for name in names]
    lines = []
    for module, group in sorted(by_module(names, _LINES).items()):
        one = f"{group[0]}{nearest_hint(group[0], others)}"
        if len(group) == 1:
            lines.append(f"  {kind} {one}")
        else:
            lines.append(f"  {kind} {module}* in {len(group)} tensors, such as {one}")
    return lines
