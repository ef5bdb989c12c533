"""A detector's metrics and predictions on a data set."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.data.batch import Batch
from fpn_jax.data.example import Category
from fpn_jax.evaluation.coco import Measure
from fpn_jax.evaluation.figures import all_figures
from fpn_jax.evaluation.records import coco_results
from fpn_jax.types import Detections, LossTerm, targets_of

_log = logging.getLogger(__name__)


@flax.struct.dataclass
class Evaluated:
    """Losses and detections of a batch of a data set."""

    terms: dict[str, LossTerm]
    detections: Detections  # in pixels of the canvas; none of padding examples
    image_ids: jax.Array  # [B, 2] int32, the halves of an int64
    # Taken from the batch; `image_pixels` needs both sizes.
    sizes: jax.Array  # [B, 2] int32, height and width inside the canvas
    image_sizes: jax.Array  # [B, 2] int32, height and width of the image


def evaluation_step(
    variables: Mapping, batch: dict[str, jax.Array], *, model: nn.Module
) -> Evaluated:
    """Returns loss terms and detections, in pixels of the canvas.

    The loss draws the same samples every time: from keys of the images' ids. Examples
    that pad the last batch have size 0, which takes them out of the loss.
    """
    sizes = jnp.where(batch["example_valid"][:, None], batch["sizes"], 0)
    seeds = batch["image_ids"][:, 0]
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(0)))(seeds)
    targets = targets_of(batch)
    # Both run the network; XLA finds the common part and computes it once.
    terms: Any = model.apply(
        variables, batch["images"], sizes, targets, keys=keys, method="loss"
    )
    found: Any = model.apply(variables, batch["images"], sizes, method="detect")
    valid = found.valid & batch["example_valid"][:, None]
    return Evaluated(
        terms,
        found.replace(valid=valid),
        batch["image_ids"],
        batch["sizes"],
        batch["image_sizes"],
    )


def evaluate(
    variables: Mapping,
    *,
    step: Callable[[Mapping, Batch], Evaluated],
    batches: Iterable[Batch],
    ground_truth: Mapping,
    categories: Sequence[Category],
    measures: Sequence[Measure],
    fitted_size: Callable[[tuple[int, int]], tuple[float, float]] | None = None,
    canceled: Callable[[], bool] = lambda: False,
    read: set[int] | None = None,
) -> tuple[dict[str, float], list[dict]] | None:
    """Returns the metrics and the COCO results on a data set.

    The metrics are the figures of the `measures`, and `loss` with its terms `loss/…`.
    Objects of images that no batch has, since they cannot be read, count as missed; a
    warning says how many. `canceled` is asked before each batch; once it is true the
    result is None.

    Args:
        variables: of the model.
        step: `evaluation_step`, compiled.
        batches: of this process, by `evaluation_batches`.
        ground_truth: annotation dictionary of the same images.
        categories: by label, of the detector.
        measures: of `coco.py`, that the detector and the ground truth allow.
        fitted_size: from an image's height and width to those that its boxes were
            scaled by; by default the pixels it has in the batch.
        canceled: see above.
        read: receives the ids of the images that were read, by all processes.
    """
    totals: dict[str, tuple[float, float]] = {}
    results = []
    read = set() if read is None else read
    for batch in batches:
        if canceled():
            return None
        # 64 bits travel as two times 32, which JAX would cut them to.
        ids = batch["image_ids"].view(np.int32).reshape(-1, 2)
        outputs = jax.device_get(step(variables, batch | {"image_ids": ids}))
        for name, term in outputs.terms.items():
            total, count = totals.get(name, (0.0, 0.0))
            totals[name] = total + float(term.total), count + float(term.count)
        image_ids = outputs.image_ids.view(np.int64)[:, 0]  # of all processes
        sizes = outputs.sizes
        if fitted_size is not None:
            sizes = np.array([fitted_size(size) for size in outputs.image_sizes])
        read.update(image_ids.tolist())
        results += coco_results(
            image_ids,
            outputs.detections,
            categories,
            sizes=sizes,
            image_sizes=outputs.image_sizes,
        )
    _warn_of_missed(ground_truth, read)
    # However the images were put into batches: in the order of the ground truth.
    places = {image["id"]: n for n, image in enumerate(ground_truth["images"])}
    results.sort(key=lambda result: places[result["image_id"]])
    losses = {name: total / max(count, 1) for name, (total, count) in totals.items()}
    metrics = all_figures(ground_truth, results, measures)
    metrics["loss"] = sum(losses.values())
    return metrics | {f"loss/{name}": loss for name, loss in losses.items()}, results


def _warn_of_missed(ground_truth: Mapping, read: set[int]) -> None:
    """Says how many images were not read, and how many objects that cost."""
    unread = {row["id"] for row in ground_truth["images"]} - read
    if unread:
        missed = sum(
            row["image_id"] in unread and not row["iscrowd"]
            for row in ground_truth["annotations"]
        )
        _log.warning(
            "%d of %d images could not be read; their objects (%d) count as missed",
            *(len(unread), len(ground_truth["images"]), missed),
        )
