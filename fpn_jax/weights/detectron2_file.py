"""The tensors in a file of Detectron2, by its names."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fpn_jax.weights.origins import check_origin
from fpn_jax.weights.pickles import load_pickle
from fpn_jax.weights.state_dicts import StateDict, check_file, load_state_dict


def detectron2_state_dict(path: str | Path) -> StateDict:
    """Returns the tensors of a file of the zoo (.pkl) or of a training (.pth).

    Raises ValueError for weights that are of another library.
    """
    check_file(path)
    zoo = Path(path).suffix.lower() == ".pkl" and not zipfile.is_zipfile(path)
    state_dict = _zoo_state_dict(path) if zoo else load_state_dict(path)
    check_origin(state_dict, "detectron2")
    return state_dict


def _zoo_state_dict(path: str | Path) -> StateDict:
    content = load_pickle(path)
    state_dict = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(state_dict, Mapping):
        raise ValueError(
            f"path {path} is no model of Detectron2's zoo: it must hold a dict of "
            "arrays under 'model' (files of Caffe2 do not)"
        )
    for name, array in state_dict.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise ValueError(f"path {path}: {name} is not an array of numbers")
    return dict(state_dict)
