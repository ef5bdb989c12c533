"""The evaluation during a run, and of a run."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import get_args

import flax.linen as nn

from fpn_jax.choices import check_choice
from fpn_jax.data.batch import Batch
from fpn_jax.data.example import Category
from fpn_jax.data.relabel import Relabeled
from fpn_jax.data.sources import readable
from fpn_jax.data.transforms import fitted_size
from fpn_jax.detectors.contract import facts
from fpn_jax.evaluation.coco import BOXES, KEYPOINTS, MASKS, PROPOSALS, Measure
from fpn_jax.evaluation.evaluate import Evaluated, evaluate
from fpn_jax.evaluation.records import coco_ground_truth
from fpn_jax.training.categories import run_categories
from fpn_jax.training.config import BestMetric, Config
from fpn_jax.training.data import validation_data, validation_source
from fpn_jax.training.interruption import Interruption

_MEASURES = {
    "proposals": PROPOSALS,
    "boxes": BOXES,
    "masks": MASKS,
    "keypoints": KEYPOINTS,
}


class Validation:
    """Metrics on the validation data of a config; keeps the last results."""

    def __init__(
        self,
        config: Config,
        step: Callable[[Mapping, Batch], Evaluated],
        categories: Sequence[Category] | None = None,
        max_detections: int | None = None,
    ):
        """Opens the data.

        Args:
            config: of the run.
            step: `evaluation_step`, compiled.
            categories: by label, of the model; the data's by default.
            max_detections: how many of an image and class the figures count; by
                default as many as COCO counts.
        """
        self.measures = measures_of(config.model)
        if max_detections is not None:
            self.measures = tuple(x.counting(max_detections) for x in self.measures)
        source = validation_source(config)
        self.categories = categories or run_categories(config.model, source.categories)
        if facts(config.model).num_classes is not None:
            source = Relabeled(source, self.categories)
            self.categories = source.categories  # with the ids of the data
        self.source = source
        self.ground_truth = coco_ground_truth(
            readable(source), source.categories, source.keypoint_spec
        )
        self.results: list[dict] = []
        self.read: set[int] = set()  # ids of the images of the last results
        self._step = step
        self._fitted_size = partial(
            fitted_size, canvas=config.data.canvas, box_scale=config.data.box_scale
        )
        self._batches = validation_data(config, source)

    def __call__(
        self, variables: Mapping, interruption: Interruption | None = None
    ) -> dict[str, float] | None:
        """Returns the metrics; None where a signal came before the end."""
        read = set()
        found = evaluate(
            variables,
            step=self._step,
            batches=self._batches,
            ground_truth=self.ground_truth,
            categories=self.categories,
            measures=self.measures,
            fitted_size=self._fitted_size,
            canceled=lambda: (
                interruption is not None and interruption.signal is not None
            ),
            read=read,
        )
        if found is None:
            return None
        metrics, self.results = found
        self.read = read.intersection(row["id"] for row in self.ground_truth["images"])
        return metrics


def measures_of(model: nn.Module) -> tuple[Measure, ...]:
    """Returns COCO's measures of what a detector says it is measured by."""
    return tuple(_MEASURES[name] for name in facts(model).measures)


def check_best(config: Config) -> None:
    """Raises ValueError where no evaluation would give the metric of the best."""
    names = [name for each in measures_of(config.model) for name in each.overall]
    known = [name for name in get_args(BestMetric) if name in (*names, "loss")]
    check_choice("evaluation.best", config.evaluation.best, known)
