"""Our detections beside those of Detectron2's R-CNNs, adaptive sampling on both sides.

    python -m experiments.detectron2_parity [MODEL …] [--json FILE]

Each is built at random by `mayaku` (`fpn_jax/parity/live_detectron2.py`), its tensors
are named as Detectron2 names them and converted, and both run on three photographs of
one canvas, 256 x 384, with 300 proposals: there is room for all that is found. Prints
what `experiments.torchvision_parity` prints, with its tolerances and its meaning of a
tie.

Needs the extra `test`, and the root of the repository as working directory.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.torchvision_parity import (
    GivenProposals,
    differences,
    list_others,
    report_each,
)
from fpn_jax.command_line import user_errors
from fpn_jax.parity.live_detectron2 import (
    LIVE,
    detectron2_state,
    lively_detectron2,
    run_detectron2,
)
from fpn_jax.parity.prove import count_ties, match_detections
from fpn_jax.types import Detections
from fpn_jax.weights.detectron2 import detector_from_detectron2
from fpn_jax.zoo.detectron2 import DETECTRON2

CANVAS, PROPOSALS = (256, 384), 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("detectron2_parity"):
        report_each(
            LIVE,
            compare,
            arguments,
            command="detectron2_parity",
            description=__doc__,
        )
    return 0


def compare(name: str) -> dict:
    """Counts of one detector over the photographs, and its largest differences."""
    images = photographs()
    theirs = lively_detectron2(name, images, post_nms=PROPOSALS)
    detector = DETECTRON2[name]()
    detector = detector.clone(rpn=detector.rpn.clone(post_nms=PROPOSALS))
    variables = detector_from_detectron2(detectron2_state(theirs), detector)
    detect = jax.jit(partial(detector.apply, method="detect"))
    proposals = _recorded_proposals(theirs)
    report = {"ours": 0, "theirs": 0, "agree": 0, "tied": 0}
    for image in images:
        (wanted,) = map(_thresholded, run_detectron2(theirs, [image]))
        mine = _found(detect, variables, image)
        pairs = match_detections(mine, wanted)
        report["ours"] += len(mine.scores)
        report["theirs"] += len(wanted.scores)
        report["agree"] += len(pairs)
        list_others(name, mine, wanted, pairs)
        for field, largest in differences(mine, wanted, pairs).items():
            report[field] = max(report.get(field, 0.0), largest)
        if len(pairs) < len(wanted.scores):
            given = detector.clone(rpn=GivenProposals(proposals[-1]))
            again = jax.jit(partial(given.apply, method="detect"))
            mine = _found(again, variables, image)
        again = match_detections(mine, wanted)
        report["tied"] += len(again) - len(pairs) + count_ties(mine, wanted, again)
    print(name, json.dumps(report), flush=True)
    return report


def photographs() -> list[np.ndarray]:
    """Returns three that both libraries pad to the canvas: uint8, RGB."""
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    return [china[160:416, :384], flower[100:350, 180:555], china[150:400, 250:630]]


def _recorded_proposals(model: Any) -> list[np.ndarray]:
    """Returns a list that gets the proposals [N, 4] of each image that is run."""
    recorded = []

    def record(module, inputs, outputs):
        recorded.append(outputs[0][0].proposal_boxes.tensor.numpy())

    model.rpn.register_forward_hook(record)
    return recorded


def _found(detect: Callable, variables: Any, image: np.ndarray) -> Detections:
    canvas = np.zeros((1, *CANVAS, 3), np.uint8)
    canvas[0, : image.shape[0], : image.shape[1]] = image
    found = detect(variables, canvas, np.array([image.shape[:2]], np.int32))
    valid = np.asarray(found.valid[0])
    return _thresholded(jax.tree.map(lambda x: np.asarray(x[0])[valid], found))


def _thresholded(found: Detections) -> Detections:
    masks = None if found.masks is None else found.masks > 0.5
    return dataclasses.replace(found, masks=masks)


if __name__ == "__main__":
    sys.exit(main())
