"""Our detections beside torchvision's, for its ten detectors at their default sizes.

    python -m experiments.torchvision_parity [MODEL …] [--json FILE]

Each is built at random by torchvision (`fpn_jax/parity/random_detectors.py`: norms
drawn, last layers scaled until tens of detections pass), saved, converted from its
file, and run by both libraries on three photographs: wide, tall, small. Prints how many
detections agree (0.05 px, 1e-4 of score, masks' IoU 0.99, keypoints 0.1 px), how many
others are ties, and the largest differences of those that agree; what only one side has
found is listed. A tie is two boxes of which either could have suppressed the other
(`fpn_jax/parity/prove.py`); or, of an R-CNN, a box that is found from torchvision's
proposals, where one side keeps a proposal that overlaps another by the threshold.

Needs the extra `test`, and the root of the repository as working directory.
"""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import tyro

from fpn_jax.benchmarks.inputs import photographs_of_three_sizes
from fpn_jax.choices import check_choice
from fpn_jax.command_line import parse, user_errors
from fpn_jax.inference import Predictor
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.prove import as_detections, count_ties, match_detections
from fpn_jax.parity.random_detectors import lively_detector
from fpn_jax.parity.torchvision_detectors import detect
from fpn_jax.runtime import set_up
from fpn_jax.training.conversion import run_from_torchvision
from fpn_jax.types import Detections, Proposals, Pyramid
from fpn_jax.weights.state_dicts import load_state_dict
from fpn_jax.zoo.torchvision import TORCHVISION

torch, _ = import_torchvision()


@dataclasses.dataclass(frozen=True)
class Arguments:
    models: tyro.conf.Positional[tuple[str, ...]] = ()  # all where none is named
    json: Path | None = None  # where to write the figures


class GivenProposals(nn.Module):
    """In the place of an RPN: proposes these boxes of one image."""

    boxes: jax.Array  # [N, 4] xyxy, pixels of the canvas

    def __call__(self, pyramid: Pyramid, *, train: bool = False) -> None:
        """Returns nothing: no anchor is scored."""

    def proposals(self, outputs: None, sizes: jax.Array, **_) -> Proposals:
        boxes = jnp.asarray(self.boxes)[None]
        return Proposals(
            boxes, jnp.ones(boxes.shape[:2]), jnp.ones(boxes.shape[:2], bool)
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("torchvision_parity"):
        report_each(
            TORCHVISION,
            compare,
            arguments,
            command="torchvision_parity",
            description=__doc__,
        )
    return 0


def report_each(
    models: Collection[str],
    compare: Callable[[str], dict],
    arguments: Sequence[str],
    **options: Any,
) -> None:
    """Compares the models that the arguments name, all by default; `options`: of parse.

    Raises ValueError for another name.
    """
    set_up()
    chosen = parse(Arguments, arguments, **options)
    for name in chosen.models:
        check_choice("model", name, models)
    report = {name: compare(name) for name in chosen.models or models}
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n")


def compare(name: str) -> dict:
    """Counts of one detector over the photographs, and its largest differences."""
    photographs = photographs_of_three_sizes()
    theirs = lively_detector(name, photographs)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.pth"
        torch.save(theirs.state_dict(), path)
        run = run_from_torchvision(name, load_state_dict(path))
    model, canvas = run.config.model, run.config.data.canvas
    detector = Predictor(model, run.variables, canvas, padding="exact")
    report = {"ours": 0, "theirs": 0, "agree": 0, "tied": 0}
    proposals = _recorded_proposals(theirs)
    for image in photographs:
        mine, wanted = detector(image), as_detections(*detect(theirs, [image]), model)
        pairs = match_detections(mine, wanted)
        report["ours"] += len(mine.scores)
        report["theirs"] += len(wanted.scores)
        report["agree"] += len(pairs)
        list_others(name, mine, wanted, pairs)
        for field, largest in differences(mine, wanted, pairs).items():
            report[field] = max(report.get(field, 0.0), largest)
        if len(pairs) < len(wanted.scores) and proposals:
            given = model.clone(rpn=GivenProposals(proposals[-1]))
            mine = Predictor(given, run.variables, canvas, padding="exact")(image)
        again = match_detections(mine, wanted)
        report["tied"] += len(again) - len(pairs) + count_ties(mine, wanted, again)
    print(name, json.dumps(report), flush=True)
    return report


def _recorded_proposals(model: Any) -> list[np.ndarray]:
    """Returns a list that gets the proposals [N, 4] of each image that is run."""
    recorded = []

    def record(module, inputs, outputs):
        recorded.append(outputs[0][0].numpy())

    if hasattr(model, "rpn"):
        model.rpn.register_forward_hook(record)
    return recorded


def differences(
    mine: Detections, wanted: Detections, pairs: list[tuple[int, int]]
) -> dict[str, float]:
    """The largest of each field over the pairs; of masks, of 1 - IoU."""
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    largest = {
        field: np.abs(getattr(mine, field)[rows] - getattr(wanted, field)[columns])
        for field in ("boxes", "scores", "keypoints")
        if getattr(mine, field) is not None
    }
    if mine.masks is not None:
        ours, theirs = mine.masks[rows], wanted.masks[columns]
        union = np.maximum((ours | theirs).sum(axis=(1, 2)), 1)
        largest["masks"] = (ours ^ theirs).sum(axis=(1, 2)) / union
    return {name: float(values.max(initial=0.0)) for name, values in largest.items()}


def list_others(name: str, mine: Detections, wanted: Detections, pairs) -> None:
    """Prints what only one side has found."""
    for who, found, column in (("ours", mine, 0), ("theirs", wanted, 1)):
        known = {pair[column] for pair in pairs}
        for row in sorted(set(range(len(found.scores))) - known):
            box = np.round(found.boxes[row], 3).tolist()
            print(f"  {name}, {who} only: {found.scores[row]:.6f} at {box}")


if __name__ == "__main__":
    sys.exit(main())
