"""Runs of published models, by their names: converted once, and kept in the cache."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import flax.linen as nn
import jax

from fpn_jax.training.checkpoint import CheckpointError
from fpn_jax.training.conversion import (
    load_torchvision,
    load_yolox,
    run_from_detectron2,
    run_from_torchvision,
    run_from_yolox,
    save_from_torchvision,
)
from fpn_jax.training.encoding import encode
from fpn_jax.training.run import check_is_new, save_run
from fpn_jax.weights.models.cache import (
    held_folder,
    model_folder,
    published,
    published_file,
    remove_unfit,
    weights_file,
)
from fpn_jax.weights.models.entry import PublishedModel
from fpn_jax.weights.models.table import MODELS
from fpn_jax.zoo.classifiers import CLASSIFIERS
from fpn_jax.zoo.detectron2 import DETECTRON2
from fpn_jax.zoo.torchvision import TORCHVISION
from fpn_jax.zoo.yolox import YOLOX

_FORM = 1  # of conversions; another number has all of them made anew


def run_directory(run: str | Path) -> str | Path:
    """Returns the directory of a run, which may be named by a published model.

    The weights of a model are downloaded and converted by the first call, and kept in
    the user's cache. A directory of that name goes first.

    Raises ValueError where there is neither, or where the weights cannot be had.
    """
    name = str(run)
    if Path(run).exists() or not _is_name(name):
        return run
    try:
        entry = published(name)
    except ValueError as error:
        raise ValueError(f"run: no directory {name!r}, and {error}") from None
    return _converted_once(entry)


def is_published(path: str) -> bool:
    """Whether a path of `train.pretrained` is the name of a published model."""
    return path in MODELS and not Path(path).exists()


def pretrained_place(path: str) -> str:
    """Returns the run or file of weights that `train.pretrained` names.

    A published classifier gives its file, which suits every kind of norm.
    """
    if not is_published(path):
        return path
    if published(path).task == "classes":
        return str(weights_file(path))
    return str(run_directory(path))


def convert_published(name: str, out: Path) -> None:
    """Makes a run directory of a published model.

    Raises ValueError, before anything is downloaded, where `out` holds a run.
    """
    entry = published(name)
    check_is_new(out)
    with held_folder(entry) as folder:
        _convert(entry, folder, out)


def _from_torchvision(entry: PublishedModel, file: Path, out: Path) -> None:
    state_dict = load_torchvision(entry.model, file)
    run = run_from_torchvision(entry.model, state_dict, norm_epsilon=entry.norm_epsilon)
    save_from_torchvision(out, run, state_dict)


def _from_detectron2(entry: PublishedModel, file: Path, out: Path) -> None:
    others = () if entry.proposals is None else (weights_file(entry.proposals),)
    save_run(out, run_from_detectron2(entry.model, file, *others))


def _from_yolox(entry: PublishedModel, file: Path, out: Path) -> None:
    state_dict = load_yolox(entry.model, file)
    save_from_torchvision(out, run_from_yolox(entry.model, state_dict), state_dict)


Conversion = Callable[[PublishedModel, Path, Path], None]
CONVERSIONS: Mapping[str, Conversion] = {
    "torchvision": _from_torchvision,
    "detectron2": _from_detectron2,
    "yolox": _from_yolox,
}
ZOOS: Mapping[str, Mapping[str, Callable[[], nn.Module]]] = {
    "torchvision": {
        **TORCHVISION,
        **{name: lambda m=module: m for name, module in CLASSIFIERS.items()},
    },
    "detectron2": DETECTRON2,
    "yolox": YOLOX,
}


def architecture(entry: PublishedModel) -> nn.Module:
    """Returns the module that a published model's weights are of."""
    return ZOOS[entry.source][entry.model]()


def _converted_once(entry: PublishedModel) -> Path:
    run = model_folder(entry) / f"run-{_key(entry)}"
    if run.exists():  # it was put in place as a whole
        return run
    if jax.process_count() > 1:  # they would wait for each other to write it
        raise ValueError(
            f"{entry.name} is not converted yet, which one process must do: fpn-jax "
            f"convert {entry.name} OUT, and give OUT in its place"
        )
    with held_folder(entry) as folder:
        if run.exists():  # by the process that was waited for
            return run
        beside = folder / ".run.new"
        shutil.rmtree(beside, ignore_errors=True)  # of a conversion that was killed
        try:
            _convert(entry, folder, beside)
            os.replace(beside, run)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return run


def _convert(entry: PublishedModel, folder: Path, out: Path) -> None:
    file = published_file(entry, folder)
    try:
        CONVERSIONS[entry.source](entry, file, out)
    except CheckpointError:  # a full disk says nothing of the file
        raise
    except ValueError as error:
        remove_unfit(entry, file, folder)
        raise ValueError(f"{entry.name}: {error}") from error


def _key(entry: PublishedModel) -> str:
    """Returns a key by which runs of other releases of this package are told apart.

    The fields of the module may have changed, and with them what the weights mean.
    """
    model = json.dumps(encode(architecture(entry)), sort_keys=True)
    text = f"{_FORM} {model} {entry.norm_epsilon}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_name(run: str) -> bool:
    """Whether it can be the name of a model, and is no path."""
    return run.isidentifier()
