"""Every family of detectors under the switches of JAX that programs around it may set.

Most of these break a program while it is traced, which costs no compilation: so all
families are traced, and one is run.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tests.support.switches import switched
from tests.support.tiny_detectors import (
    BATCH,
    DETECTORS,
    images_and_sizes,
    shapes_of,
    targets,
    total_loss,
    variables_of,
)

SPLIT, COPIED = PartitionSpec("data"), PartitionSpec()
# Faster R-CNN is a part of Mask R-CNN, and Fast R-CNN is made of the same heads.
each = pytest.mark.parametrize("name", sorted(DETECTORS.keys() - {"faster", "fast"}))


def keys(implementation=None):
    return jax.random.split(jax.random.key(1, impl=implementation), BATCH)


def training(name):
    """Returns the function from variables and a batch to the loss and its gradient."""

    def value_and_gradient(variables, images, sizes, targets, keys):
        def loss(params):
            of = variables | {"params": params}
            return total_loss(DETECTORS[name], of, images, sizes, targets, keys)

        return jax.value_and_grad(loss)(variables["params"])

    return value_and_gradient


def detecting(name):
    return partial(DETECTORS[name].apply, method="detect")


@cache
def shapes(name):
    return shapes_of(DETECTORS[name])


def types(tree):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


def traced(name, images, sizes, objects, keys):
    """Returns the shapes of loss and gradient, and those of the detections."""
    train, detect = training(name), detecting(name)
    return (
        jax.eval_shape(jax.jit(train), shapes(name), images, sizes, objects, keys),
        jax.eval_shape(jax.jit(detect), shapes(name), images, sizes),
    )


@pytest.mark.parametrize("name", sorted(DETECTORS.keys() - {"faster"}))
def test_double_precision_and_strict_promotion_change_no_type(name):
    with switched(jax_enable_x64=True, jax_numpy_dtype_promotion="strict"):
        assert types(shapes_of(DETECTORS[name])) == {"float32"}
        losses, found = traced(name, *images_and_sizes(), targets(), keys())
    assert types(losses) == {"float32"}
    assert types(found) == {"float32", "int32", "bool"}


@pytest.mark.parametrize(
    "name, generator", [("mask", None), ("proposals", "rbg"), ("fast", "unsafe_rbg")]
)
def test_no_key_is_used_twice_whatever_generator_draws(name, generator):
    train, batch = training(name), (*images_and_sizes(), targets(), keys(generator))
    with switched(jax_debug_key_reuse=True):
        jax.eval_shape(jax.jit(train), shapes(name), *batch)


@pytest.mark.parametrize("name", ["proposals"])
def test_no_tracer_leaks(name):
    # One: JAX looks through all objects of the process for each function.
    with switched(jax_check_tracer_leaks=True):
        traced(name, *images_and_sizes(), targets(), keys())


def mesh_of(axis_type):
    devices = jax.devices()[:BATCH]
    return jax.make_mesh((BATCH,), ("data",), axis_types=(axis_type,), devices=devices)


def placed(tree, mesh, spec):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            x.shape, x.dtype, sharding=NamedSharding(mesh, spec)
        ),
        tree,
    )


@each
def test_a_batch_may_be_divided_by_explicit_axes(name):
    mesh = mesh_of(AxisType.Explicit)
    variables = placed(shapes(name), mesh, COPIED)
    images, sizes, *rest = placed((*images_and_sizes(), targets(), keys()), mesh, SPLIT)
    found = jax.eval_shape(jax.jit(detecting(name)), variables, images, sizes)
    assert found.boxes.sharding.spec[0] == "data"
    train = jax.jit(training(name))
    jax.eval_shape(train, variables, images, sizes, *rest)


@each
def test_a_batch_may_be_divided_by_shard_map(name):
    mapped = partial(jax.shard_map, mesh=mesh_of(AxisType.Auto))
    batch = *images_and_sizes(), targets(), keys()

    def mean_gradient(*arguments):
        return jax.lax.pmean(training(name)(*arguments), "data")

    specs = (COPIED, *[SPLIT] * 4)
    train = mapped(mean_gradient, in_specs=specs, out_specs=COPIED)
    jax.eval_shape(train, shapes(name), *batch)
    detect = mapped(detecting(name), in_specs=specs[:3], out_specs=SPLIT)
    jax.eval_shape(detect, shapes(name), *batch[:2])


@each
def test_detections_are_exported_for_any_number_of_images(name):
    (number,) = export.symbolic_shape("b")
    images, sizes = (
        jax.ShapeDtypeStruct((number, *x.shape[1:]), x.dtype)
        for x in images_and_sizes()
    )
    program = export.export(jax.jit(detecting(name)))(shapes(name), images, sizes)
    assert all(out.shape[0] == number for out in program.out_avals)


def test_an_export_is_read_back_from_bytes():
    pytest.importorskip("flatbuffers")
    variables = variables_of(DETECTORS["fcos"])
    images, sizes = images_and_sizes()
    detect = jax.jit(detecting("fcos"))
    written = export.export(detect)(variables, images, sizes).serialize()
    found = export.deserialize(written).call(variables, images, sizes)
    jax.tree.map(np.testing.assert_array_equal, found, detect(variables, images, sizes))


@each
def test_a_batch_without_rows_for_objects_has_a_loss(name):
    none = jax.tree.map(lambda rows: rows[:, :0], targets())
    loss = partial(total_loss, DETECTORS[name])
    jax.eval_shape(loss, shapes(name), *images_and_sizes(), none, keys())


@each
def test_detections_have_a_gradient_to_the_pixels(name):
    images, sizes = images_and_sizes(np.float32)

    def sum_of_all(images, variables):
        found = detecting(name)(variables, images, sizes)
        parts = found.boxes, found.scores, found.masks, found.keypoint_scores
        return sum(part.sum() for part in parts if part is not None)

    jax.eval_shape(jax.grad(sum_of_all), images, shapes(name))


def test_two_devices_find_and_learn_what_one_does():
    variables = variables_of(DETECTORS["fcos"])
    batch = *images_and_sizes(), targets(), keys()

    def both(variables, *batch):
        found = detecting("fcos")(variables, *batch[:2])
        return training("fcos")(variables, *batch), found

    program = jax.jit(both)
    with switched(jax_debug_nans=True):
        expected = program(variables, *batch)
    mesh = mesh_of(AxisType.Explicit)
    divided = jax.device_put(batch, NamedSharding(mesh, SPLIT))
    got = program(jax.device_put(variables, NamedSharding(mesh, COPIED)), *divided)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4), got, expected)

    # What padding holds, and objects of an image that is padding, change nothing.
    images, sizes, objects, drawn = batch
    sizes = sizes * np.array([[1], [0]], np.int32)
    empty = objects.replace(valid=objects.valid & jnp.array([[True], [False]]))
    (loss, gradient), found = program(variables, images, sizes, empty, drawn)
    assert not found.valid[1].any() and found.valid[0].any()
    for fill in (np.nan, np.inf, 1e30):
        boxes = np.where(empty.valid[..., None], objects.boxes, np.float32(fill))
        filled = objects.replace(boxes=boxes)
        (again, gradient_again), _ = program(variables, images, sizes, filled, drawn)
        np.testing.assert_allclose(again, loss, rtol=1e-6)
        jax.tree.map(
            partial(np.testing.assert_allclose, atol=1e-6), gradient_again, gradient
        )


@pytest.mark.slow
def test_without_jit_it_is_the_same():
    variables = variables_of(DETECTORS["fcos"])
    images, sizes = images_and_sizes()
    expected = jax.jit(detecting("fcos"))(variables, images, sizes)
    with jax.disable_jit():
        got = detecting("fcos")(variables, images, sizes)
    np.testing.assert_allclose(got.boxes, expected.boxes, atol=1e-4)
    assert jnp.array_equal(got.valid, expected.valid)
