"""A detector's metrics and predictions on a data set."""

from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.data.example import Source
from fpn_jax.data.loader import evaluation_batches
from fpn_jax.evaluation.coco import coco_results, evaluate_proposals
from fpn_jax.types import Targets


def evaluation_step(
    variables: Mapping, batch: dict[str, jax.Array], *, model: nn.Module
) -> dict:
    """Returns loss terms, and detections in pixels of the original images.

    The loss draws the same anchors every time: from keys of the images' ids. Examples
    that pad the last batch have size 0, which takes them out of the loss.
    """
    sizes = jnp.where(batch["example_valid"][:, None], batch["sizes"], 0)
    seeds = batch["image_ids"][:, 0]
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(0)))(seeds)
    targets = Targets(batch["boxes"], batch["labels"], batch["valid"], batch["crowd"])
    # Both run the network; XLA finds the common part and computes it once.
    terms = model.apply(
        variables, batch["images"], sizes, targets, keys=keys, method="loss"
    )
    detections = model.apply(variables, batch["images"], sizes, method="detect")
    return {
        "terms": terms,
        "boxes": detections.boxes / jnp.tile(batch["scales"], 2)[:, None],
        "scores": detections.scores,
        "valid": detections.valid & batch["example_valid"][:, None],
        "image_ids": batch["image_ids"],
    }


def evaluate(
    variables: Mapping,
    *,
    step: Callable[[Mapping, dict], dict],
    source: Source,
    ground_truth: Mapping,
    batch_size: int,
    canvas: tuple[int, int],
    max_boxes: int,
    max_errors: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, float], list[dict]] | None:
    """Returns the metrics and the COCO results on a source.

    `step` is `evaluation_step`, compiled; `batch_size` is that of this process. The
    metrics are those of `evaluate_proposals`, and `loss` with its terms `loss/…`. More
    than `max_errors` unreadable images of this process are a ValueError. None as soon
    as `cancelled` says so; it is asked before each batch.
    """
    batches = evaluation_batches(
        source,
        batch_size=batch_size,
        canvas=canvas,
        max_boxes=max_boxes,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        max_errors=max_errors,
    )
    totals: dict[str, tuple[float, float]] = {}
    results = []
    for batch in batches:
        if cancelled():
            return None
        # 64 bits travel as two times 32, which JAX would cut them to.
        ids = batch["image_ids"].view(np.int32).reshape(-1, 2)
        outputs = jax.device_get(step(variables, batch | {"image_ids": ids}))
        for name, term in outputs["terms"].items():
            total, count = totals.get(name, (0.0, 0.0))
            totals[name] = total + float(term.total), count + float(term.count)
        results += coco_results(
            outputs["image_ids"].view(np.int64)[:, 0],
            outputs["boxes"],
            outputs["scores"],
            outputs["valid"],
        )
    losses = {name: total / max(count, 1) for name, (total, count) in totals.items()}
    metrics = evaluate_proposals(ground_truth, results)
    metrics["loss"] = sum(losses.values())
    return metrics | {f"loss/{name}": loss for name, loss in losses.items()}, results
