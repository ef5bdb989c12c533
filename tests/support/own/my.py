"""An experiment of a user's: a backbone beside this file, a head and an optimizer."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from my_backbone import CenteredBackbone

from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.config import Config, DataConfig, EvaluationConfig, TrainConfig
from fpn_jax.types import Detections, LossTerm

STRIDE = 8


class CellHead(nn.Module):
    """Every cell of level 3 says its class; its square is the box."""

    num_classes: int = 10
    max_detections: int = 20

    @nn.compact
    def __call__(self, pyramid, *, train=False):
        return nn.Dense(self.num_classes, name="classes")(pyramid[3])

    def loss(self, outputs, sizes, targets, *, canvas, keys=None):
        centers = (self._boxes(outputs)[:, :2] + STRIDE / 2)[None, :, None]
        corners = targets.boxes[:, None]
        inside = (corners[..., :2] <= centers) & (centers < corners[..., 2:])
        inside = inside.all(axis=-1) & targets.valid[:, None]
        classes = jax.nn.one_hot(targets.labels, self.num_classes)
        wanted = jnp.einsum("bno,bok->bnk", inside.astype(jnp.float32), classes) > 0
        logits = outputs.reshape(wanted.shape)
        loss = optax.sigmoid_binary_cross_entropy(logits, wanted.astype(jnp.float32))
        real = (sizes > 0).all(axis=-1)[:, None, None]
        total = jnp.sum(loss, where=real)
        return {"cells": LossTerm(total, jnp.sum(real, dtype=jnp.float32))}

    def detections(self, outputs, sizes, *, canvas):
        scores = jax.nn.sigmoid(outputs.reshape(len(outputs), -1, self.num_classes))
        best, index = jax.lax.top_k(scores.max(axis=-1), self.max_detections)
        labels = jnp.take_along_axis(scores.argmax(axis=-1), index, axis=1)
        return Detections(
            boxes=self._boxes(outputs)[index],
            scores=best,
            labels=labels.astype(jnp.int32),
            valid=best > 0,
        )

    def _boxes(self, outputs):
        rows, columns = jnp.mgrid[: outputs.shape[1], : outputs.shape[2]]
        corners = jnp.stack([columns, rows], axis=-1).reshape(-1, 2) * float(STRIDE)
        return jnp.concatenate([corners, corners + STRIDE], axis=-1)


def falling_adam(steps):
    rate = optax.linear_schedule(1e-2, 0.0, steps)
    return optax.inject_hyperparams(optax.adam)(learning_rate=rate)


def get_config():
    neck = FPN(channels=4, extra="none")
    return Config(
        model=OneStage(CenteredBackbone(), neck, CellHead()),
        data=DataConfig(canvas=(64, 64), batch_size=8),
        optimizer=falling_adam,
        train=TrainConfig(steps=5, log_every=1, ema_decay=0.9),
        evaluation=EvaluationConfig(batch_size=8),
    )
