"""Weights of other libraries to a run directory, and a run's to a file.

    convert torchvision MODEL FILE OUT [--prove [IMAGE …]]
    convert detectron2 MODEL FILE OUT
    convert yolox MODEL FILE OUT
    convert NAME OUT
    convert export RUN FILE

NAME is a published model (fpn-jax models), whose file is downloaded once. OUT is a
directory like that of a training run: every command takes it (but that of a mere
backbone), and `--train.pretrained OUT` starts a training from it. Exit status: 0 done,
1 not proven equal, 2 wrong input.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from fpn_jax.choices import check_choice
from fpn_jax.command_line import parse, user_errors
from fpn_jax.runtime import set_up

NOT_PROVEN = 1  # exit status


@dataclass(frozen=True)
class Torchvision:
    """A checkpoint of torchvision to a run directory.

    The number of classes is the file's. A fine-tuned model's classes are numbered:
    write their names into OUT/categories.json. Of a classifier (resnet50, vgg16_bn,
    mobilenet_v3_large …) OUT has the backbone.
    """

    model: tyro.conf.Positional[str]  # torchvision's builder: fasterrcnn_resnet50_fpn …
    file: tyro.conf.Positional[Path]  # .pth, .pt, .ckpt … or .safetensors
    out: tyro.conf.Positional[Path]  # the run directory to make
    # Of the backbone's frozen norms: the file does not tell. By default that of the
    # published weights; 1e-5 for a detector fine-tuned from ImageNet's, or legacy.
    norm_epsilon: float | None = None
    # Run both libraries on these images, or on two random ones, and compare.
    prove: tuple[Path, ...] | None = None


@dataclass(frozen=True)
class Detectron2:
    """A model of Detectron2's zoo, or one fine-tuned from it, to a run directory.

    The numbers of classes and keypoints are the file's. A fine-tuned model's classes
    are numbered: write their names into OUT/categories.json.
    """

    model: tyro.conf.Positional[str]  # faster_rcnn_R_50_FPN …
    file: tyro.conf.Positional[Path]  # .pkl of the zoo, .pth of a training
    out: tyro.conf.Positional[Path]  # the run directory to make
    # File of the network that proposes to a Fast R-CNN (rpn_R_50_FPN).
    proposals: Path | None = None


@dataclass(frozen=True)
class Yolox:
    """A released detector of YOLOX, or one trained by its code, to a run directory.

    The number of classes is the file's. A fine-tuned model's classes are numbered:
    write their names into OUT/categories.json.
    """

    model: tyro.conf.Positional[str]  # yolox_nano, yolox_tiny, yolox_s, m, l or x
    file: tyro.conf.Positional[Path]  # .pth
    out: tyro.conf.Positional[Path]  # the run directory to make
    # "frozen" keeps statistics and affine parameters of the norms in a training.
    norm: Literal["batch", "frozen"] = "batch"


@dataclass(frozen=True)
class Published:
    """A model that comes by name to a run directory."""

    name: tyro.conf.Positional[str]  # of `fpn-jax models`
    out: tyro.conf.Positional[Path]  # the run directory to make


@dataclass(frozen=True)
class Export:
    """A run's weights to a state dict that torchvision's or YOLOX's model loads.

    The file has weights and no numbers: the model that loads it must be built with the
    anchors, thresholds and epsilon of the run. Weights of a model that neither library
    has keep our names.
    """

    run: tyro.conf.Positional[Path]  # directory of a training or a conversion
    file: tyro.conf.Positional[Path]  # .pth, .pt or .safetensors
    checkpoint: str = "best"  # or "latest", or the number of a step
    # Python file that defines your own classes, where the run has any.
    experiment: Path | None = None
    # Import your own classes from the copy of the experiment that the run keeps.
    trust: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    actions = {
        Torchvision: convert_torchvision,
        Detectron2: convert_detectron2,
        Yolox: convert_yolox,
        Export: export,
    }
    with user_errors("convert"):
        set_up()
        if arguments and not arguments[0].startswith("-"):
            from fpn_jax.weights.models.table import MODELS

            names = [form.__name__.lower() for form in actions]
            is_name = arguments[0] in MODELS or len(arguments) == 2
            if is_name and arguments[0] not in names:
                return convert_by_name(parse(Published, arguments, command="convert"))
            check_choice("the first argument", arguments[0], names)
        chosen = parse(
            Torchvision | Detectron2 | Yolox | Export,
            arguments,
            command="convert",
            description=__doc__,
        )
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
    """Returns squares of random colors, of many sizes on each other, as uint8.

    Of noise without structure a network says the same everywhere, and equal boxes may
    stand in any order.
    """
    image = np.zeros((height, width, 3))
    for side in (8, 32, 128):
        grid = random.uniform(0, 85, (-(-height // side), -(-width // side), 3))
        image += grid.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    return image.astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
