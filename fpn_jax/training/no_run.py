"""A path that leads to no run: which one it is, and how a run comes of it."""

from pathlib import Path

from fpn_jax.weights.state_dicts import READ_SUFFIXES, is_address

_CONFIG = "config.json"
_CONVERT = "`fpn-jax convert torchvision MODEL {file} OUT` makes a run of it"


def no_run_line(run: str | Path) -> str:
    """Returns the line for a path without a run's config: what it is, what helps."""
    path = Path(run)
    said = f"run: {str(run)!r} is"
    if is_address(run):
        return f"{said} an address; download the file, then {_converted('FILE')}"
    if path.is_file():
        return f"{said} a file, must be the directory of a run{_of_file(path)}"
    above = [place for place in path.absolute().parents if (place / _CONFIG).exists()]
    if above and path.exists():
        return f"{said} inside of a run; give {str(above[0])!r}"
    if path.is_dir():
        inside = sorted(place.parent.name for place in path.glob(f"*/{_CONFIG}"))
        if inside:
            return f"{said} a folder of runs; give one of them: {', '.join(inside)}"
        return f"run: no {_CONFIG} in {str(run)!r}; not a run?"
    return f"run: no folder {str(run)!r}; not a run?"


def _of_file(path: Path) -> str:
    if path.name == _CONFIG:
        return f", which is {str(path.parent)!r}"
    if path.suffix.lower() in READ_SUFFIXES:
        return f"; {_converted(str(path))}"
    return ""


def _converted(file: str) -> str:
    """Returns the command that makes a run of a file of weights."""
    return f"{_CONVERT.format(file=file)} (convert detectron2 or yolox for theirs)"
