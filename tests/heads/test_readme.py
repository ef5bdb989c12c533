"""The page that shows how a head is added: its code runs, trains and is short."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fpn_jax.heads
from fpn_jax.types import targets_of
from fpn_jax.weights.state_dicts import convert, export_state_dict
from fpn_jax.weights.tables import rules_of
from tests.support.digit_batch import digit_batch

PAGE = Path(fpn_jax.heads.__path__[0]) / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def names():
    """What the code of the page defines."""
    names = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_a_head_takes_about_sixty_lines():
    body = BLOCKS[0].partition("class CellHead")[2]
    assert len([line for line in body.splitlines() if line.strip()]) <= 60


def test_the_head_learns_and_detects(names):
    model = names["model"].clone(
        backbone=names["model"].backbone.clone(width=8),
        neck=names["model"].neck.clone(channels=16),
    )
    batch = jax.tree.map(jnp.asarray, digit_batch((0, 1), side=128))
    images, sizes, targets = batch["images"], batch["sizes"], targets_of(batch)
    keys = jax.random.split(jax.random.key(0), 2)
    variables = jax.jit(model.init)(jax.random.key(1), images, sizes)
    optimizer = optax.adam(3e-3)

    @jax.jit
    def step(params, state):
        def loss(params):
            terms, updated = model.apply(
                {**variables, "params": params},
                *(images, sizes, targets),
                keys=keys,
                train=True,
                method="loss",
                mutable=["batch_stats"],
            )
            return sum(t.total / jnp.maximum(t.count, 1) for t in terms.values())

        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, value

    params, state, values = variables["params"], None, []
    state = optimizer.init(params)
    for _ in range(12):
        params, state, value = step(params, state)
        values.append(float(value))
    assert values[-1] < 0.7 * values[0]
    found = jax.jit(lambda v: model.apply(v, images, sizes, method="detect"))(variables)
    assert found.boxes.shape == (2, 100, 4)


def test_its_weights_go_to_other_names_and_back(names):
    head = names["CellHead"](num_classes=3)
    pyramid = {level: jnp.ones((1, 4, 4, 8)) for level in (3, 4)}
    variables = head.init(jax.random.key(0), pyramid)
    rules = rules_of(head, names["TABLES"], library="another library")
    state_dict = export_state_dict(variables, rules)
    assert state_dict["tower.0.weight"].shape == (32, 8, 3, 3)
    back = convert(state_dict, rules, variables)
    jax.tree.map(np.testing.assert_array_equal, back, dict(variables))
