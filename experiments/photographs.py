"""Draws what a detector finds in photographs beside each other: README's first picture.

    python -m fpn_jax.convert yolox yolox_nano yolox_nano.pth nano
    python -m experiments.photographs nano experiments/figures/photographs.jpg \
        astronaut.png chelsea.png coffee.png

These three are scikit-image's (`skimage.data`), in the public domain and CC0.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro

import fpn_jax
from fpn_jax.command_line import parse, user_errors
from fpn_jax.data.given_images import read_image
from fpn_jax.visualize.drawing import draw_detections
from fpn_jax.visualize.pictures import save_image

_GAP = 8  # white pixels between two photographs


@dataclass(frozen=True)
class Arguments:
    run: tyro.conf.Positional[Path]  # directory written by training or by a conversion
    out: tyro.conf.Positional[Path]  # file of the picture
    photographs: tyro.conf.Positional[tuple[Path, ...]]
    # Pixels of the picture. A page shows three photographs as wide as they are then, so
    # that their tags can be read.
    height: int = 224
    score_threshold: float = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("photographs"):
        chosen = parse(Arguments, arguments, command="photographs", description=__doc__)
        save_image(chosen.out, side_by_side(chosen))
    return 0


def side_by_side(chosen: Arguments) -> np.ndarray:
    """Returns the photographs at one height, so that lines and tags are alike."""
    detect = fpn_jax.load(chosen.run, score_threshold=chosen.score_threshold)
    names = [category.name for category in detect.categories]
    panels = []
    for path in chosen.photographs:
        image = read_image(path)
        found, scale = detect(image).detections, chosen.height / len(image)
        found = found.replace(boxes=found.boxes * scale)
        size = round(image.shape[1] * scale), chosen.height
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        gap = np.full((chosen.height, _GAP, 3), 255, np.uint8)
        panels += [draw_detections(image, found, names=names), gap]
    return np.concatenate(panels[:-1], axis=1)


if __name__ == "__main__":
    sys.exit(main())
