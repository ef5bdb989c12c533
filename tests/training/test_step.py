"""One step, compiled three ways: one device, jit over a mesh, pmap."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.detectors.fields import with_field
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.state import inference_variables
from fpn_jax.training.step import (
    AXIS,
    data_mesh,
    jit_step,
    pmap_step,
    train_step,
)
from tests.support.small_training import batch_of, difference, initial_state


def model_on(backbone) -> ProposalNetwork:
    return ProposalNetwork(
        backbone,
        FPN(channels=8),
        RPNHead(anchor_sizes=((8,), (16,), (32,), (48,), (64,)), num_samples=32),
    )


def after_five_steps(step, state):
    for seed in range(5):
        state, losses = step(state, batch_of(seed))
    return state, losses


FROZEN = pytest.param("frozen", marks=pytest.mark.slow)


@pytest.mark.parametrize("norm", [FROZEN, "batch"])
def test_jit_and_pmap_over_eight_devices_equal_one_device(norm):
    assert jax.device_count() == 8
    model = model_on(ResNet(18, width=8, norm=norm))
    optimizer = optax.sgd(0.01, momentum=0.9)
    step = partial(train_step, optimizer=optimizer)
    compiled = {
        "one": jax.jit(partial(step, model=model)),
        "jit": jit_step(partial(step, model=model), data_mesh()),
        "pmap": pmap_step(partial(step, model=with_field(model, "axis_name", AXIS))),
    }
    states = {}
    for name, run in compiled.items():
        state, losses = after_five_steps(run, initial_state(model, optimizer))
        states[name] = jax.device_get((state.params, state.collections, losses))
    start = jax.device_get(initial_state(model, optimizer).params)
    assert difference(states["one"][0], start) > 1e-3  # the steps did something
    assert difference(states["one"], states["jit"]) <= 1e-5
    assert difference(states["one"], states["pmap"]) <= 1e-5


def test_the_average_follows_the_parameters():
    model, optimizer = model_on(Dummy()), optax.sgd(0.1)
    step = jax.jit(partial(train_step, model=model, optimizer=optimizer, ema_decay=0.5))
    state = initial_state(model, optimizer, ema=True)
    before = state.params
    state, _ = step(state, batch_of(0))
    # First step: the decay is min(0.5, 2 / 11).
    decay = 2 / 11
    wanted = jax.tree.map(
        lambda a, b: decay * a + (1 - decay) * b, before, state.params
    )
    assert difference(state.ema["params"], wanted) <= 1e-6
    assert inference_variables(state) is state.ema


def test_a_step_draws_another_sample_than_the_step_before():
    model, optimizer = model_on(Dummy()), optax.sgd(0.0)
    step = jax.jit(partial(train_step, model=model, optimizer=optimizer))
    state = initial_state(model, optimizer)
    state, first = step(state, batch_of(0))
    _, second = step(state, batch_of(0))
    assert first["loss"] != second["loss"]  # same weights, same batch


class Own(nn.Module):
    """Dropout, and a collection with a mean and a counter, as a user's may have."""

    @nn.compact
    def __call__(self, images, *, train=False):
        pyramid = Dummy(name="inner")(images)
        mean = self.variable("seen", "mean", jnp.zeros, ())
        count = self.variable("seen", "count", jnp.zeros, (), jnp.int32)
        draw = self.variable("seen", "draw", jnp.zeros, (2,))
        if train:
            mean.value = mean.value + 1.0
            count.value = count.value + 2
            streams = (self.make_rng("dropout"), self.make_rng("depth"))
            draw.value = jnp.stack([jax.random.uniform(key) for key in streams])
            self.sow("intermediates", "stem", images)
        return pyramid


class Centered(nn.Module):
    """Keeps the mean of its pixels, over the images that it is given."""

    frozen: tuple[str, ...] = ()

    @nn.compact
    def __call__(self, images, *, train=False):
        mean = self.variable("seen", "mean", jnp.zeros, ())
        count = self.variable("seen", "count", jnp.zeros, (), jnp.int32)
        if train:
            mean.value = images.mean()
            count.value += 1
        return Dummy(name="inner")(images)


def seen_after_a_step(backbone, compiled):
    model, optimizer = model_on(backbone), optax.sgd(0.1)
    step = compiled(partial(train_step, model=model, optimizer=optimizer))
    state, _ = step(initial_state(model, optimizer), batch_of(0))
    return state.collections["seen"]["backbone"]


def test_a_users_mean_is_of_the_whole_batch_under_pmap_too():
    one = seen_after_a_step(Centered(), jax.jit)
    every = seen_after_a_step(Centered(), pmap_step)  # an image on each device
    assert one["mean"] != 0
    # The mean of eight means in float32, added in another order.
    assert every["mean"] == pytest.approx(float(one["mean"]), rel=1e-5)
    assert every["count"] == 1


def test_collections_of_frozen_parts_stay():
    seen = seen_after_a_step(Centered(frozen=("mean",)), jax.jit)
    assert (seen["mean"], seen["count"]) == (0, 1)


def test_what_training_has_no_use_for_stays_on_the_host():
    names = ("image_ids", "example_valid", "image_sizes")
    batch = batch_of(0) | {name: np.zeros(8) for name in names}
    given = jit_step(lambda _, batch: (batch, batch), data_mesh())(0, batch)[0]
    assert given.keys() == batch_of(0).keys()


def test_a_users_collections_and_streams_reach_its_module():
    model, optimizer = model_on(Own()), optax.sgd(0.1)
    step = partial(train_step, model=model, optimizer=optimizer, ema_decay=0.5)
    state = initial_state(model, optimizer, ema=True)
    assert state.collections.keys() == {"batch_stats", "seen"}
    draws = []
    for _ in range(2):
        state, _ = jax.jit(step)(state, batch_of(0))
        draws += list(np.asarray(state.collections["seen"]["backbone"]["draw"]))
    assert len(set(draws)) == 4  # another one for each stream and step
    seen, ema = state.collections["seen"], inference_variables(state)["seen"]
    assert (seen["backbone"]["mean"], seen["backbone"]["count"]) == (2, 4)
    # Decays of 2 / 11 and 3 / 12 of 0, 1 and 2; a counter has no mean.
    average = 3 / 12 * (9 / 11) + 9 / 12 * 2
    assert ema["backbone"]["mean"] == pytest.approx(average)
    assert ema["backbone"]["count"] == 4
    assert state.collections.keys() == {"batch_stats", "seen"}  # nothing is sown
