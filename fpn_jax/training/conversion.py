"""Runs made of other libraries' checkpoints, and theirs made of runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict

from fpn_jax.choices import check_choice
from fpn_jax.data.example import Category
from fpn_jax.data.formats.coco_names import COCO, COCO_IDS, UNUSED
from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.feature_extractor import FeatureExtractor
from fpn_jax.detectors.fields import parts, values_of
from fpn_jax.layers import Norm
from fpn_jax.training.categories import run_categories
from fpn_jax.training.config import Config, DataConfig
from fpn_jax.training.config_file import read_tree
from fpn_jax.training.encoding import foreign_names
from fpn_jax.training.run import (
    Run,
    check_detects,
    load_run,
    load_variables,
    save_run,
)
from fpn_jax.weights.detectron2 import (
    detector_from_detectron2,
    fitted_to_detectron2,
    with_proposals,
)
from fpn_jax.weights.detectron2_file import detectron2_state_dict
from fpn_jax.weights.origins import check_origin
from fpn_jax.weights.state_dicts import StateDict, load_state_dict, without_prefix
from fpn_jax.weights.torchvision import (
    backbone_from_torchvision,
    batch_counters,
    detector_from_torchvision,
    detector_rules,
    detector_to_torchvision,
    first_label,
    fitted,
)
from fpn_jax.weights.torchvision_backbones import backbone_rules
from fpn_jax.weights.yolox import (
    detector_from_yolox,
    detector_to_yolox,
    fitted_to_yolox,
    released_size,
    yolox_rules,
)
from fpn_jax.zoo.canvases import released_canvas
from fpn_jax.zoo.classifiers import CLASSIFIERS
from fpn_jax.zoo.detectron2 import DETECTRON2
from fpn_jax.zoo.torchvision import TORCHVISION
from fpn_jax.zoo.yolox import YOLOX

# Batch counters of torch's norms, kept so that an export is bit-exact.
_COUNTERS = "torchvision_counters.json"

_KEYPOINTS_OF_PERSONS = 17


def load_torchvision(name: str, file: str | Path) -> StateDict:
    """Returns the tensors of a file by the names of torchvision's model `name`.

    A prefix that all names in the file share is taken off.
    """
    check_choice("model", name, (*TORCHVISION, *CLASSIFIERS))
    if name in CLASSIFIERS:
        rules = backbone_rules(CLASSIFIERS[name])
    else:
        rules = detector_rules(TORCHVISION[name]())
    return dict(without_prefix(load_state_dict(file), rules))


def run_from_torchvision(
    name: str,
    state_dict: Mapping[str, np.ndarray],
    *,
    norm_epsilon: float | None = None,
) -> Run:
    """Returns torchvision's model `name` with its weights, ready to be saved.

    By default the backbone has the `norm_epsilon` that the published weights need.
    Categories are COCO's, or numbered ones where the file has another number of
    classes. A classifier gives its backbone alone, without categories.
    """
    check_choice("model", name, (*TORCHVISION, *CLASSIFIERS))
    if name in CLASSIFIERS:
        return _classifier_run(CLASSIFIERS[name], state_dict, norm_epsilon)
    detector = fitted(TORCHVISION[name](), state_dict)
    if norm_epsilon is not None:
        backbone = detector.backbone.clone(norm_epsilon=norm_epsilon)
        detector = detector.clone(backbone=backbone)
    data = _data(released_canvas(name))
    return Run(
        config=Config(model=detector, data=data),
        variables=detector_from_torchvision(state_dict, detector),
        step=0,
        categories=_categories(detector),
    )


def _classifier_run(
    backbone: nn.Module,
    state_dict: Mapping[str, np.ndarray],
    norm_epsilon: float | None,
) -> Run:
    if norm_epsilon is not None:
        backbone = backbone.clone(norm_epsilon=norm_epsilon)
    variables = backbone_from_torchvision(state_dict, backbone)
    return Run(
        config=Config(model=FeatureExtractor(backbone)),
        variables={kind: {"backbone": tree} for kind, tree in variables.items()},
        step=0,
        categories=(),
    )


def run_from_detectron2(
    name: str, file: str | Path, proposals: str | Path | None = None
) -> Run:
    """Returns a detector of Detectron2's zoo with the weights of a file.

    Categories are COCO's, or numbered ones where the model was fine-tuned on another
    number of classes; the file tells how many classes and keypoints there are. A Fast
    R-CNN takes its `proposals` network from a second file: ValueError without it.
    """
    check_choice("model", name, DETECTRON2)
    detector = DETECTRON2[name]()
    if proposals is None and "proposals" in parts(detector):
        raise ValueError(
            f"proposals is None, but {name} needs the file of a proposal network, too "
            "(of rpn_R_50_FPN or an R-CNN): its own file has none"
        )
    if proposals is not None and "proposals" not in parts(detector):
        raise ValueError(f"proposals must be left out: {name} has its own, got a file")
    state_dict = detectron2_state_dict(file)
    if proposals is not None:
        state_dict = with_proposals(state_dict, detectron2_state_dict(proposals))
    detector = fitted_to_detectron2(detector, state_dict)
    persons = "keypoints" in facts(detector).measures
    return Run(
        config=Config(model=detector, data=_data(released_canvas(name))),
        variables=detector_from_detectron2(state_dict, detector),
        step=0,
        categories=_named(detector, COCO[:1] if persons else COCO, first=1),
    )


def load_yolox(name: str, file: str | Path) -> StateDict:
    """Returns the tensors of a file by the names of the released model `name`.

    A prefix that all names in the file share is taken off.
    """
    check_choice("model", name, YOLOX)
    state_dict = load_state_dict(file)
    check_origin(state_dict, "yolox")
    return dict(without_prefix(state_dict, yolox_rules(YOLOX[name]())))


def run_from_yolox(
    name: str, state_dict: Mapping[str, np.ndarray], *, norm: Norm = "batch"
) -> Run:
    """Returns a released detector of YOLOX with its weights, ready to be saved.

    Its data are resized as there. Categories are COCO's, or numbered ones where the
    file has another number of classes. With `norm` "frozen" a training keeps the
    statistics of its norms.
    """
    check_choice("model", name, YOLOX)
    if (size := released_size(state_dict)) not in (None, name):
        raise ValueError(f"model: {name!r} given, the file is of {size}")
    detector = fitted_to_yolox(YOLOX[name](norm=norm), state_dict)
    data = replace(_data(released_canvas(name)), box_scale="common")
    return Run(
        config=Config(model=detector, data=data),
        variables=detector_from_yolox(state_dict, detector),
        step=0,
        categories=_named(detector, COCO, first=1),
    )


def save_from_torchvision(
    out: str | Path, run: Run, state_dict: Mapping[str, np.ndarray]
) -> None:
    """Writes the run directory of a state dict, which can be had back from it."""
    save_run(out, run)
    counters = {name: int(n) for name, n in batch_counters(state_dict).items()}
    (Path(out) / _COUNTERS).write_text(json.dumps(counters, indent=0) + "\n")


class Exported(NamedTuple):
    """Weights of a run, and why they have our names, where they do."""

    state_dict: StateDict
    why_ours: str | None  # None: they have torchvision's or YOLOX's
    holder: str | None = None  # the name in a file of torch that its library looks for


def exported(
    run: str | Path,
    checkpoint: str = "best",
    *,
    experiment: str | Path | None = None,
    trust: bool = False,
) -> Exported:
    """Returns the weights of a run directory under torchvision's names, or under ours.

    YOLOX's have their own. A converted run gives back the weights of its file, bit by
    bit. Anchors, thresholds and epsilon are not among the weights: the model that loads
    them needs the run's. A model that neither has keeps our names,
    "params/backbone/…"; a user's own model is not imported for it.
    """
    if foreign := foreign_names(read_tree(run).get("model")):
        why = f"torchvision has no {foreign[0]}"
        return Exported(_under_our_names(load_variables(run, checkpoint)), why)
    loaded = load_run(run, checkpoint, experiment=experiment, trust=trust)
    check_detects(loaded.config.model, run)
    kept = Path(run) / _COUNTERS
    texts = json.loads(kept.read_text()) if kept.exists() else {}
    counters = {name: np.array(n, np.int64) for name, n in texts.items()}
    why = ""
    for to_theirs, holder in (
        (detector_to_yolox, "model"),
        (detector_to_torchvision, None),
    ):
        try:
            state_dict = to_theirs(loaded.variables, loaded.config.model, counters)
        except ValueError as error:  # it has no such model
            why = str(error)
        else:
            return Exported(state_dict, None, holder)
    return Exported(_under_our_names(loaded.variables), why)


def _under_our_names(variables: Mapping) -> StateDict:
    flat = flatten_dict(variables, sep="/")
    return {name: np.asarray(leaf) for name, leaf in flat.items()}


def _data(canvas: tuple[int, int]) -> DataConfig:
    return DataConfig(canvas=canvas, max_boxes=100)  # COCO's images have up to 93


def _categories(detector: nn.Module) -> tuple[Category, ...]:
    """Returns a category for each label; a dense head's label 0 is the background."""
    first, coco = first_label(detector), COCO_IDS
    if not first:
        coco = (Category(0, UNUSED), *COCO_IDS)
    elif "keypoints" in facts(detector).measures:
        coco = COCO_IDS[:1]  # persons
    return _named(detector, coco, first=first)


def _named(
    detector: nn.Module, coco: Sequence[Category], *, first: int
) -> tuple[Category, ...]:
    """Returns COCO's categories, or numbered ones for another number of classes.

    A model of other keypoints than COCO's finds no persons.
    """
    num_classes = facts(detector).num_classes
    points = values_of(detector, "num_keypoints").values()
    persons = all(number == _KEYPOINTS_OF_PERSONS for number in points)
    if num_classes is None or (num_classes == len(coco) and persons):
        return run_categories(detector, coco)
    ids = range(first, first + num_classes)
    return tuple(Category(id_, f"class {id_}") for id_ in ids)
