"""TensorFlow's SavedModel: StableHLO in one operator, for CPU, TPU and CUDA."""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from fpn_jax.artifacts.program import Batch, Program, abstract_inputs
from fpn_jax.artifacts.stablehlo import PLATFORMS, Run

# `jax2tf` of jax 0.10 writes StableHLO 1.15 or newer, of which TensorFlow 2.21 reads
# versions up to 1.13. Programs of ours have no operator that is younger.
_STABLEHLO = "1.13.0"
# jax 0.12 names what sums, maxima and the like are, with regions that 1.13 has no form
# for; their definitions stand beside them. XLA has a fast top-k of its own by its name.
_WITHOUT_NEW_COMPOSITES = (
    "builtin.module(func.func(stablehlo-legalize-composite-to-call{except=chlo.top_k}))"
)


def write_savedmodel(
    program: Program, canvas: tuple[int, int], batch: Batch, path: Path
) -> Run:
    """Writes the program into a directory, and returns what runs it.

    Its signature `serving_default` takes `images` and `sizes`. TensorFlow cannot refine
    the shapes of a program for any number of images: a dynamic one takes them one after
    the other.

    Raises ValueError, one line, where TensorFlow is not installed.
    """
    try:
        import tensorflow as tf

        xla = import_module("tensorflow.compiler.tf2xla.python.xla")
    except ImportError as error:
        raise ValueError(
            "format: savedmodel needs TensorFlow: pip install 'fpn-jax[savedmodel]'"
        ) from error
    together = 1 if batch == "dynamic" else batch
    exported = export.export(jax.jit(program), platforms=PLATFORMS)(
        *abstract_inputs(canvas, together)
    )
    outputs = exported.out_avals
    module = _older(exported.mlir_module_serialized)

    def call(images, sizes):
        found = xla.call_module(
            (images, sizes),
            version=exported.calling_convention_version,
            module=module,
            Tout=[tf.as_dtype(output.dtype) for output in outputs],
            Sout=[output.shape for output in outputs],
            platforms=[name.upper() for name in exported.platforms],
        )
        return jax.tree.unflatten(exported.out_tree, found)

    def each(images, sizes):
        def one(given):
            found = call(given[0][None], given[1][None])
            return {name: value[0] for name, value in found.items()}

        types = jax.tree.unflatten(
            exported.out_tree,
            [tf.TensorSpec(x.shape[1:], tf.as_dtype(x.dtype)) for x in outputs],
        )
        return tf.map_fn(one, (images, sizes), fn_output_signature=types)

    size = None if batch == "dynamic" else batch
    saved: Any = tf.Module()
    saved.detect = tf.function(
        each if batch == "dynamic" else call,
        input_signature=[
            tf.TensorSpec((size, *canvas, 3), tf.uint8, "images"),
            tf.TensorSpec((size, 2), tf.int32, "sizes"),
        ],
        autograph=False,
    )
    tf.saved_model.save(saved, path, signatures={"serving_default": saved.detect})
    return savedmodel_runner(path)


def describe_savedmodel(path: Path, description: Mapping[str, Any]) -> None:
    """Adds the description to a directory, where TensorFlow leaves room for files."""
    folder = path / "assets.extra"
    folder.mkdir()
    (folder / "metadata.json").write_text(json.dumps(description, indent=1))


def _older(serialized: bytes) -> bytes:
    """Returns a module in the version of StableHLO that TensorFlow reads."""
    from jaxlib.mlir import ir, passmanager
    from jaxlib.mlir.dialects import stablehlo

    stablehlo.register_stablehlo_passes()
    with ir.Context() as context:
        module = stablehlo.deserialize_portable_artifact(context, serialized)
        passmanager.PassManager.parse(_WITHOUT_NEW_COMPOSITES).run(module.operation)
        return stablehlo.serialize_portable_artifact(module, _STABLEHLO)


def savedmodel_runner(path: Path) -> Run:
    """Returns a function that runs a directory; needs TensorFlow."""
    import tensorflow as tf

    detect = tf.saved_model.load(str(path)).signatures["serving_default"]

    def run(images: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        found = detect(images=tf.constant(images), sizes=tf.constant(sizes))
        return {name: value.numpy() for name, value in found.items()}

    return run
