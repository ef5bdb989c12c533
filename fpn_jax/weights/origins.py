"""Whose weights a file holds, by the names of its tensors.

Detectors of all libraries come in files of the same kind. Of one that belongs to
another command, the line says which; names by the hundred would not.
"""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

Kind = Literal["torchvision", "classifier", "detectron2", "yolox", "other"]


class _Origin(NamedTuple):
    pattern: str  # in some name of the file, behind any prefix
    kind: Kind
    holder: str
    advice: str


_TORCHVISION = (
    "`fpn-jax convert torchvision MODEL FILE OUT` makes a run of them, with "
    "the name of the detector (fasterrcnn_resnet50_fpn …) as MODEL"
)
_DETECTRON2 = (
    "`fpn-jax convert detectron2 MODEL FILE OUT` makes a run of them, with a "
    "name of its zoo (faster_rcnn_R_50_FPN …) as MODEL"
)
_YOLOX = (
    "`fpn-jax convert yolox MODEL FILE OUT` makes a run of them, with the "
    "name of the size (yolox_nano … yolox_x) as MODEL"
)
_CLASSIFIER = (
    "a detector's backbone starts from them by `train --train.pretrained FILE`"
)
_NONE = "this package has no counterpart of that model"

# The first that fits a file counts.
_ORIGINS = (
    _Origin(
        r"backbone\.body\.", "torchvision", "a detector of torchvision", _TORCHVISION
    ),
    _Origin(r"backbone\.bottom_up\.", "detectron2", "Detectron2", _DETECTRON2),
    _Origin(
        r"backbone\.(stem\.conv1|res2\.0)\.",
        "other",
        "a model of Detectron2 without a pyramid (C4, DC5)",
        _NONE,
    ),
    _Origin(
        r"(stem\.conv1\.|res2\.0\.conv1\.|res2_0_branch2a_)",
        "other",
        "an ImageNet backbone of Detectron2 or Caffe2",
        "no detector is in it; give the file of a whole model",
    ),
    _Origin(r"backbone\.backbone\.(stem|dark2)\.", "yolox", "YOLOX", _YOLOX),
    _Origin(
        r"model\.\d+\.(conv|cv\d|m\.\d+)\.", "other", "a YOLO of Ultralytics", _NONE
    ),
    _Origin(
        r"(neck\.(lateral_convs|fpn_convs)|bbox_head|roi_head|rpn_head)\.",
        "other",
        "MMDetection",
        _NONE,
    ),
    _Origin(
        r"transformer\.(encoder|decoder)\.",
        "other",
        "DETR or another transformer",
        _NONE,
    ),
    _Origin(r"backbone\.features\.", "other", "an SSD of torchvision", _NONE),
    _Origin(
        r"rpn\.head\.", "other", "an R-CNN of torchvision without a pyramid", _NONE
    ),
    _Origin(
        r"(fpn|neck|regressionModel)\.", "other", "a detector of another library", _NONE
    ),
    _Origin(
        r"(layer1\.0\.conv1\.|features\.0\.|conv_stem\.)",
        "classifier",
        "a classifier",
        _CLASSIFIER,
    ),
    _Origin(
        r"params/",
        "other",
        "this package, under its own names",
        "use the run that they were exported from",
    ),
)


def check_origin(names: Iterable[str], wanted: Kind) -> None:
    """Raises ValueError where names are those of another kind of file than `wanted`.

    The line says whose they are and which command takes them. Names that are nobody's
    pass.
    """
    names = list(names)
    for origin in _ORIGINS:
        pattern = re.compile(rf"(.*\.)?{origin.pattern}")
        found = next(filter(pattern.match, names), None)
        if found is None:
            continue
        if origin.kind != wanted:
            raise ValueError(
                f"the file holds weights of {origin.holder}, such as {found}: "
                f"{origin.advice}"
            )
        return
