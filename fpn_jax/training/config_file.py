"""`config.json` of a run: written before its first step, read by every command.

Classes of this package come back by themselves. A user's own are imported only with the
user's consent, which is the experiment given again, or trust in the copy that the run
keeps of it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax

from fpn_jax.training.config import Config
from fpn_jax.training.encoding import (
    EXPERIMENT,
    decode,
    difference,
    encode,
    foreign_names,
)
from fpn_jax.training.experiment import (
    is_kept,
    keep,
    load_kept,
    load_module,
    loaded_file,
    without_bytecode,
)
from fpn_jax.training.no_run import no_run_line
from fpn_jax.training.old_configs import upgraded
from fpn_jax.training.resumption import changed_optimizer, changed_setting
from fpn_jax.training.whole_files import replace_text

_EXPERIMENT = "experiment"  # the key of the name of the file that the run keeps


def to_json(config: Config) -> str:
    """Returns the config as indented JSON; every dataclass names its class.

    Raises ValueError for a part of it that cannot be written (`encoding`).
    """
    return _text(encode(config))


def from_json(text: str) -> Config:
    """Returns the config written by `to_json`; only classes of this package are built.

    Raises ValueError for a foreign class or a field that its class does not have.
    """
    tree = upgraded(json.loads(text))
    for name in foreign_names(tree):
        raise ValueError(f"class {name!r} is not of fpn_jax")
    return _config(tree)


def check_readable(config: Config) -> None:
    """Raises ValueError, one line, where a config would not come back as it is."""
    tree = encode(config)
    back = encode(_config(json.loads(_text(tree))))
    if changed := difference(tree, back):
        raise ValueError(f"{changed}; the run could not be opened again as it is")


def load_config(
    run: str | Path,
    *,
    experiment: str | Path | None = None,
    trust: bool = False,
    optimizer: bool = True,
) -> Config:
    """Returns the config of a run directory.

    Args:
        run: directory written by training or by a conversion.
        experiment: file that defines or imports the classes outside of this package.
        trust: take them from the copy that the run keeps, or from where they are
            installed.
        optimizer: False for use without training: the default stands for an optimizer
            of the user's own, which then needs no consent.

    Raises ValueError where there are such classes and neither is given; nothing of
    them has been imported then. Also for one that the experiment does not bring, unless
    it is trusted.
    """
    tree = read_tree(run)
    if not optimizer and foreign_names(tree.get("optimizer")):
        del tree["optimizer"]
    names = foreign_names(tree)
    if not names:
        return _read(run, tree)
    if experiment is not None:
        load_module(experiment)
        strange = [name for name in names if name.rpartition(".")[0] not in sys.modules]
        if strange and not trust:
            raise ValueError(_not_brought(run, strange[0], experiment))
        return _read(run, tree)
    if not trust:
        raise ValueError(_unasked(run, names[0], tree))
    with without_bytecode():
        load_kept(run, tree.get(_EXPERIMENT))
        return _read(run, tree)


def read_tree(run: str | Path) -> dict[str, Any]:
    """Returns `config.json` of a run, in the words of today; builds nothing."""
    path = Path(run) / "config.json"
    try:
        tree = upgraded(json.loads(path.read_text()))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(no_run_line(run)) from None
    except ValueError as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected a Config, got {tree!r:.60}")
    return tree


def write_config(
    config: Config, run: str | Path, *, experiment: str | Path | None = None
) -> None:
    """Writes the config into a run directory, on the first process.

    With it goes a copy of the experiment file, by default of the loaded one where the
    config has classes of it, and of the user's modules that it or the config needs.

    Raises ValueError for a module that cannot be copied.
    """
    if jax.process_index():
        return
    run, tree = Path(run), encode(config)
    run.mkdir(parents=True, exist_ok=True)
    modules = {name.rpartition(".")[0] for name in foreign_names(tree)}
    if experiment is None and EXPERIMENT in modules:
        experiment = loaded_file()
    name = keep(experiment, run, modules) or _kept_name(run)
    replace_text(
        run / "config.json", _text(tree | ({} if name is None else {_EXPERIMENT: name}))
    )


def check_resumable(config: Config, run: str | Path) -> None:
    """Raises ValueError where `run` was begun with what cannot change on the way.

    Its weights belong to a model; `resumption` says what the rest belongs to. The line
    names a setting, what the run was begun with, and what was given.
    """
    if not (Path(run) / "config.json").exists():
        return
    tree, now = read_tree(run), encode(config)
    if (Path(run) / "checkpoints" / "0").exists():
        raise ValueError(
            f"workdir: {str(run)!r} holds weights alone, no training to continue; "
            f"start a run from them by --train.pretrained {run}"
        )
    begun = f"workdir: {str(run)!r} was begun with"
    if changed := changed_optimizer(tree.get("optimizer"), now["optimizer"]):
        raise ValueError(f"{begun} {changed}")
    # Foreign classes of the config are imported already, and no others are for this.
    if foreign_names(tree.get("optimizer")):
        tree["optimizer"] = now["optimizer"]
    foreign = set(foreign_names(tree)) - set(foreign_names(now))
    if foreign & set(foreign_names(tree.get("model"))):
        raise ValueError(f"workdir: {str(run)!r} holds a run of another model")
    for name in sorted(foreign):
        raise ValueError(f"{begun} {name}, which the config has not")
    own = foreign_names(tree)
    before = _read(run, tree)
    model = encode(before.model)
    if changed := difference(model, now["model"], "model", between=", got"):
        raise ValueError(
            f"workdir: {str(run)!r} holds a run of another model: {changed}; to go on "
            f"as it was begun give --workdir alone{' and --trust' if own else ''}"
        )
    if changed := changed_setting(before, config):
        raise ValueError(f"{begun} {changed}")


def _config(tree: dict[str, Any]) -> Config:
    config = decode({key: item for key, item in tree.items() if key != _EXPERIMENT})
    if not isinstance(config, Config):
        raise ValueError(f"config: expected a {Config.__name__}, got {config!r:.60}")
    return config


def _read(run: str | Path, tree: dict[str, Any]) -> Config:
    try:
        return _config(tree)
    except (ValueError, TypeError, LookupError, AttributeError, ImportError) as error:
        path = Path(run) / "config.json"
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from None


def _unasked(run: str | Path, name: str, tree: dict[str, Any]) -> str:
    said = name
    if name.startswith(f"{EXPERIMENT}."):
        said = f"{name.rpartition('.')[2]} of {tree.get(_EXPERIMENT, 'an experiment')}"
    return (
        f"run: {str(run)!r} needs {said}, which is not of fpn_jax and is not imported "
        "unasked; give the experiment that defines it (--experiment FILE.py; train "
        f"takes the file itself), or {_trust(run, name)}"
    )


def _not_brought(run: str | Path, name: str, experiment: str | Path) -> str:
    return (
        f"run: {str(run)!r} needs {name}, which the experiment {str(experiment)!r} "
        f"does not import; give one that does, or {_trust(run, name)}"
    )


def _trust(run: str | Path, name: str) -> str:
    if is_kept(run, name):
        return "trust the copy that the run keeps (--trust)"
    module = name.rpartition(".")[0]
    return f"--trust, which imports {module} from where it is installed"


def _kept_name(run: Path) -> str | None:
    """Returns the name of the experiment that a run has kept before."""
    if not (run / "config.json").exists():
        return None
    return read_tree(run).get(_EXPERIMENT)


def _text(tree: dict[str, Any]) -> str:
    return json.dumps(tree, indent=2) + "\n"
