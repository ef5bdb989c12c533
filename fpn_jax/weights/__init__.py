"""Other libraries' weights in our modules, and back.

A state dict (`StateDict`) is {name: array} as torch saves it. A table of `Rule` gives
the two names of every tensor and how its axes are ordered; `convert` reads it forwards,
`export_state_dict` backwards, and what came is what goes, bit by bit. Names that do not
fit are reported all at once, in one ValueError. No code in a file is ever run, and
torch is needed to write .pth and .pt files only.

Files and tables are the same for all libraries. By library: `backbone_from_torchvision`
for its classifiers, `detector_from_torchvision` and `detector_to_torchvision` for its
detectors, `load_detectron2` for a file of Detectron2, and `detector_from_yolox` and
`detector_to_yolox` for those of YOLOX. They return variables,
{"params": …, "batch_stats": …}, for a module that corresponds to the file.
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
from fpn_jax.weights.torchvision import (
    backbone_from_torchvision,
    detector_from_torchvision,
    detector_to_torchvision,
)
from fpn_jax.weights.yolox import detector_from_yolox, detector_to_yolox

__all__ = [
    "Layout",
    "Rule",
    "StateDict",
    "backbone_from_torchvision",
    "convert",
    "detector_from_torchvision",
    "detector_from_yolox",
    "detector_to_torchvision",
    "detector_to_yolox",
    "export_state_dict",
    "load_detectron2",
    "load_pickle",
    "load_state_dict",
    "save_state_dict",
]
