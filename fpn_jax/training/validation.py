"""The evaluation during a run."""

from collections.abc import Callable, Mapping

import jax

from fpn_jax.data.sources import open_source, readable
from fpn_jax.evaluation.coco import coco_ground_truth
from fpn_jax.evaluation.evaluate import evaluate
from fpn_jax.training.config import Config
from fpn_jax.training.interruption import Interruption


class Validation:
    """Metrics on the validation data of a config; keeps the last results."""

    def __init__(self, config: Config, step: Callable[[Mapping, dict], dict]):
        self.source = open_source(config.data.validation, "validation")
        self.ground_truth = coco_ground_truth(
            readable(self.source), self.source.categories
        )
        self.results: list[dict] = []
        self._config, self._step = config, step

    def is_due(self, step: int) -> bool:
        """Returns whether there is an evaluation after a step."""
        train = self._config.train
        return step == train.steps or step % train.evaluate_every == 0

    def __call__(
        self, variables: Mapping, interruption: Interruption
    ) -> dict[str, float] | None:
        """Returns the metrics; None where a signal came before the end."""
        config = self._config
        found = evaluate(
            variables,
            step=self._step,
            source=self.source,
            ground_truth=self.ground_truth,
            batch_size=config.evaluation.batch_size // jax.process_count(),
            canvas=config.data.canvas,
            max_boxes=config.data.max_boxes,
            max_errors=config.data.max_errors,
            cancelled=lambda: interruption.signal is not None,
        )
        if found is None:
            return None
        metrics, self.results = found
        return metrics
