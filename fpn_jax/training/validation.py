"""The evaluation during a run, and of a run."""

from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax

from fpn_jax.data.batch import Batch
from fpn_jax.data.example import Category
from fpn_jax.data.loader import evaluation_batches
from fpn_jax.data.relabel import Relabeled
from fpn_jax.data.sources import open_source, readable
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.evaluation.coco import BOXES, KEYPOINTS, MASKS, PROPOSALS, Measure
from fpn_jax.evaluation.evaluate import Evaluated, evaluate
from fpn_jax.evaluation.records import coco_ground_truth
from fpn_jax.training.categories import run_categories
from fpn_jax.training.config import Config
from fpn_jax.training.interruption import Interruption


class Validation:
    """Metrics on the validation data of a config; keeps the last results."""

    def __init__(
        self,
        config: Config,
        step: Callable[[Mapping, Batch], Evaluated],
        categories: Sequence[Category] | None = None,
    ):
        """Opens the data.

        Args:
            config: of the run.
            step: `evaluation_step`, compiled.
            categories: by label, of the model; by default those of the data.
        """
        data, model = config.data, config.model
        self.measures = measures_of(model)
        source = open_source(
            data.source,
            data.validation,
            masks=MASKS in self.measures,
            keypoints=KEYPOINTS in self.measures,
        )
        self.categories = categories or run_categories(model, source.categories)
        if not isinstance(model, ProposalNetwork):
            source = Relabeled(source, self.categories)
            self.categories = source.categories  # with the ids of the data
        self.source = source
        self.ground_truth = coco_ground_truth(
            readable(source), source.categories, source.keypoint_spec
        )
        self.results: list[dict] = []
        self._step, self._train = step, config.train
        self._batches = evaluation_batches(
            source,
            batch_size=config.evaluation.batch_size // jax.process_count(),
            canvas=data.canvas,
            max_boxes=data.max_boxes,
            mask_size=data.mask_size if MASKS in self.measures else None,
            keypoints=KEYPOINTS in self.measures,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            max_errors=data.max_errors,
        )

    def is_due(self, step: int) -> bool:
        """Returns whether there is an evaluation after a step."""
        return step == self._train.steps or step % self._train.evaluate_every == 0

    def __call__(
        self, variables: Mapping, interruption: Interruption | None = None
    ) -> dict[str, float] | None:
        """Returns the metrics; None where a signal came before the end."""
        found = evaluate(
            variables,
            step=self._step,
            batches=self._batches,
            ground_truth=self.ground_truth,
            categories=self.categories,
            measures=self.measures,
            canceled=lambda: (
                interruption is not None and interruption.signal is not None
            ),
        )
        if found is None:
            return None
        metrics, self.results = found
        return metrics


def measures_of(model: nn.Module) -> tuple[Measure, ...]:
    """Returns what can be measured of a detector's results."""
    if isinstance(model, ProposalNetwork):
        return (PROPOSALS,)
    heads = {"mask_head": MASKS, "keypoint_head": KEYPOINTS}
    further = (m for head, m in heads.items() if getattr(model, head, None) is not None)
    return BOXES, *further
