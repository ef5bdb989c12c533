"""Other libraries' weights in our modules, and back.

A state dict (`StateDict`) is {name: array} as torch saves it. A table of `Rule` gives
the two names of every tensor and how its axes are ordered; `convert` reads it forwards,
`export_state_dict` backwards, and what came is what goes, bit by bit. Names that do not
fit are reported all at once, in one ValueError. No code in a file is ever run, and
torch is needed for .pth and .pt files only.

Here are the files and tables themselves, and by library: `load_backbone` for the
classifiers of torchvision, `load_detectron2` for files of Detectron2;
`fpn_jax.weights.torchvision` and `fpn_jax.weights.detectron2` have the rest. All give
variables, {"params": …, "batch_stats": …}, for a module that corresponds to the file.
"""

from fpn_jax.weights.detectron2 import load_detectron2
from fpn_jax.weights.pickles import load_pickle
from fpn_jax.weights.state_dicts import (
    Layout,
    Rule,
    StateDict,
    convert,
    export_state_dict,
    load_state_dict,
    save_state_dict,
)
from fpn_jax.weights.torchvision import load_backbone

__all__ = [
    "Layout",
    "Rule",
    "StateDict",
    "convert",
    "export_state_dict",
    "load_backbone",
    "load_detectron2",
    "load_pickle",
    "load_state_dict",
    "save_state_dict",
]
