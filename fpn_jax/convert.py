"""Converts weights of other libraries into a run, and back.

    fpn-jax convert torchvision MODEL FILE OUT
    fpn-jax convert detectron2 MODEL FILE OUT
    fpn-jax convert yolox MODEL FILE OUT
    fpn-jax convert NAME OUT
    fpn-jax convert export RUN FILE

The first four lines make a run directory OUT, the first three from a file and the
fourth from a published model (fpn-jax models), whose file is downloaded once. Every
command takes such a run, except a backbone's, and `--train.pretrained OUT`
starts a training from it. The last line writes the weights of a run into a file for
torchvision or YOLOX.

`fpn-jax convert torchvision --help` and the like show the options.

Exit status: 0 done, 1 not proven equal, 2 wrong input.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from fpn_jax.choices import check_choice
from fpn_jax.command_line import Positional, arg, parse, user_errors
from fpn_jax.runtime import set_up

NOT_PROVEN = 1  # exit status


@dataclass(frozen=True)
class Torchvision:
    """Converts a checkpoint of torchvision into a run directory.

    The number of classes is the file's. A fine-tuned model's classes are numbered:
    write their names into OUT/categories.json. The run of a classifier (resnet50,
    vgg16_bn, mobilenet_v3_large …) has the backbone alone.
    """

    # Name of torchvision's model: fasterrcnn_resnet50_fpn and the like.
    model: Positional[str]
    # Checkpoint: .pth, .pt, .ckpt or .safetensors.
    file: Positional[Path]
    # Run directory to make.
    out: Positional[Path]
    # Epsilon of the backbone's frozen norms, which the file does not tell. By default
    # the one of the published weights; 1e-5 for a detector fine-tuned from ImageNet's
    # weights, or one of an early release.
    norm_epsilon: float | None = None
    # Run both libraries on these images and compare; without a path, on random images.
    prove: tuple[Path, ...] | None = None


@dataclass(frozen=True)
class Detectron2:
    """Converts a model of Detectron2's zoo, or one fine-tuned from it, into a run.

    The numbers of classes and keypoints are the file's. A fine-tuned model's classes
    are numbered: write their names into OUT/categories.json.
    """

    # Name of the configuration in the zoo: faster_rcnn_R_50_FPN and the like.
    model: Positional[str]
    # Checkpoint: .pkl of the zoo, or .pth of a training.
    file: Positional[Path]
    # Run directory to make.
    out: Positional[Path]
    # File of the network that proposes to a Fast R-CNN (rpn_R_50_FPN).
    proposals: Path | None = None


@dataclass(frozen=True)
class Yolox:
    """Converts a released detector of YOLOX, or one trained by its code, into a run.

    The number of classes is the file's. A fine-tuned model's classes are numbered:
    write their names into OUT/categories.json.
    """

    # Name of the model: yolox_nano, yolox_tiny, yolox_s, yolox_m, yolox_l or yolox_x.
    model: Positional[str]
    # Checkpoint of the authors' code: .pth.
    file: Positional[Path]
    # Run directory to make.
    out: Positional[Path]
    # Norms of the run: "frozen" keeps their statistics and affine parameters as they
    # are in a training.
    norm: Literal["batch", "frozen"] = "batch"


@dataclass(frozen=True)
class Published:
    """Converts a published model into a run directory."""

    # Name of the model, as fpn-jax models lists them.
    name: Positional[str]
    # Run directory to make.
    out: Positional[Path]


@dataclass(frozen=True)
class Export:
    """Writes the weights of a run into a state dict of torchvision or YOLOX.

    The file has weights and no numbers: the model that loads it must be built with the
    anchors, thresholds and epsilon of the run. Weights of a model that neither library
    has keep our names.
    """

    # Directory of a training or a conversion.
    run: Positional[Path]
    # State dict to write: .pth, .pt or .safetensors.
    file: Positional[Path]
    # Checkpoint of the run: "best", "latest", or the number of a step.
    checkpoint: Annotated[str, arg(metavar="WHICH")] = "best"
    # Python file with your own classes, where the model has any.
    experiment: Path | None = None
    # Import your own classes from the copy of the experiment in the run.
    trust: bool = False


@dataclass(frozen=True)
class Overview:
    """The kind of weights, which `convert` takes before its other arguments."""

    # One of torchvision, detectron2, yolox and export with its arguments, or the name
    # of a published model with OUT.
    what: Annotated[Positional[str], arg(metavar="FORM …")]


FORMS: dict[str, type] = {
    "torchvision": Torchvision,
    "detectron2": Detectron2,
    "yolox": Yolox,
    "export": Export,
}
"""The arguments behind each first word, other than the name of a model."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("convert"):
        set_up()
        if not arguments or arguments[0].startswith("-"):
            parse(Overview, arguments, command="convert", description=__doc__)
            raise ValueError("the first argument must be a form: see convert --help")
        return run_action(parsed(arguments))


def parsed(arguments: Sequence[str]) -> Any:
    """Returns the arguments of the form that the first word names."""
    from fpn_jax.weights.models.table import MODELS

    first, *others = arguments
    if first in FORMS:
        return parse(FORMS[first], others, command=f"convert {first}")
    if first not in MODELS and len(arguments) != 2:
        check_choice("the first argument", first, FORMS)
    return parse(Published, arguments, command="convert")


def run_action(chosen: Any) -> int:
    """Returns the exit status of the conversion that the arguments are for."""
    actions = {
        Torchvision: convert_torchvision,
        Detectron2: convert_detectron2,
        Yolox: convert_yolox,
        Published: convert_by_name,
        Export: export,
    }
    return actions[type(chosen)](chosen)


def convert_torchvision(chosen: Torchvision) -> int:
    """Returns the exit status."""
    from fpn_jax.inference.predictor import Predictor
    from fpn_jax.parity.prove import (
        MAP_TOLERANCE,
        maps_table,
        proofs_table,
        prove,
    )
    from fpn_jax.parity.prove_backbone import (
        backbone_differences,
        torchvision_classifier,
    )
    from fpn_jax.parity.torchvision_detectors import detector_of_weights
    from fpn_jax.training.conversion import (
        load_torchvision,
        run_from_torchvision,
        save_from_torchvision,
    )
    from fpn_jax.zoo.classifiers import CLASSIFIERS

    images = {} if chosen.prove is None else _images(chosen.prove)
    state_dict = load_torchvision(chosen.model, chosen.file)
    run = run_from_torchvision(
        chosen.model, state_dict, norm_epsilon=chosen.norm_epsilon
    )
    save_from_torchvision(chosen.out, run, state_dict)
    print(f"{chosen.model}: {len(state_dict)} tensors, run in {chosen.out}")
    if chosen.prove is None:
        return 0
    model, canvas = run.config.model, run.config.data.canvas
    if chosen.model in CLASSIFIERS:
        differences = backbone_differences(
            torchvision_classifier(chosen.model, state_dict),
            model,
            run.variables,
            list(images.values()),
        )
        report = maps_table(differences)
        equal = max(differences.values()) <= MAP_TOLERANCE
    else:
        detect = Predictor(model, run.variables, canvas, padding="exact")
        proofs = prove(
            detector_of_weights(chosen.model, state_dict, model),
            model,
            run.variables,
            lambda image: detect(image).detections,
            list(images.values()),
        )
        report = proofs_table(images, proofs)
        equal = all(proof.holds for proof in proofs)
    print(report)
    print("proven equal" if equal else "NOT equal")
    return 0 if equal else NOT_PROVEN


def convert_detectron2(chosen: Detectron2) -> int:
    """Returns the exit status."""
    from fpn_jax.training.conversion import run_from_detectron2
    from fpn_jax.training.run import save_run

    run = run_from_detectron2(chosen.model, chosen.file, chosen.proposals)
    save_run(chosen.out, run)
    print(f"{chosen.model}: run in {chosen.out}")
    return 0


def convert_yolox(chosen: Yolox) -> int:
    """Returns the exit status."""
    from fpn_jax.training.conversion import (
        load_yolox,
        run_from_yolox,
        save_from_torchvision,
    )

    state_dict = load_yolox(chosen.model, chosen.file)
    run = run_from_yolox(chosen.model, state_dict, norm=chosen.norm)
    save_from_torchvision(chosen.out, run, state_dict)
    print(f"{chosen.model}: {len(state_dict)} tensors, run in {chosen.out}")
    return 0


def convert_by_name(chosen: Published) -> int:
    """Returns the exit status."""
    from fpn_jax.training.published import convert_published

    convert_published(chosen.name, chosen.out)
    print(f"{chosen.name}: run in {chosen.out}")
    return 0


def export(chosen: Export) -> int:
    """Returns the exit status."""
    from fpn_jax.training.conversion import exported
    from fpn_jax.weights.state_dicts import save_state_dict

    state_dict, why_ours, holder = exported(
        chosen.run,
        chosen.checkpoint,
        experiment=chosen.experiment,
        trust=chosen.trust,
    )
    save_state_dict(state_dict, chosen.file, holder=holder)
    ours = f", under our names, such as {min(state_dict)}: {why_ours}"
    print(f"{len(state_dict)} tensors in {chosen.file}{ours if why_ours else ''}")
    return 0


def _images(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """Returns the images by name; two random ones where no path is given."""
    from fpn_jax.data.given_images import read_image

    if paths:
        return {str(path): read_image(path) for path in paths}
    random = np.random.default_rng(0)
    sizes = ((480, 640), (640, 427))
    return {
        f"random {height}x{width}": _random_image(height, width, random)
        for height, width in sizes
    }


def _random_image(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Returns squares of random colors and many sizes, one over another, as uint8.

    On noise without structure a network finds the same everywhere, and equal boxes have
    no order.
    """
    image = np.zeros((height, width, 3))
    for side in (8, 32, 128):
        grid = random.uniform(0, 85, (-(-height // side), -(-width // side), 3))
        image += grid.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    return image.astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
