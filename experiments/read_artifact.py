"""Runs an exported detector without fpn_jax: FILE INPUTS.npz OUTPUTS.npz

The inputs are `images` and `sizes`, the outputs all that the file gives. These are the
readers of docs/use.md: beside NumPy one needs jax, one onnxruntime, one TensorFlow.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np


def stablehlo(file):
    """Returns a function of a batch, and the description of the file."""
    import jax

    with zipfile.ZipFile(file) as archive:
        program = jax.export.deserialize(bytearray(archive.read("program")))
        description = json.loads(archive.read("metadata.json"))
    return jax.jit(program.call), description


def onnx(file):
    """Returns a function of a batch, and the description of the file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def detect(images, sizes):
        found = session.run(names, {"images": images, "sizes": sizes})
        return dict(zip(names, found, strict=True))

    return detect, json.loads(session.get_modelmeta().custom_metadata_map["fpn_jax"])


def savedmodel(folder):
    """Returns a function of a batch, and the description of the directory."""
    import tensorflow as tf

    detect = tf.saved_model.load(folder).signatures["serving_default"]

    def call(images, sizes):
        found = detect(images=tf.constant(images), sizes=tf.constant(sizes))
        return {name: value.numpy() for name, value in found.items()}

    about = Path(folder) / "assets.extra" / "metadata.json"
    return call, json.loads(about.read_text())


if __name__ == "__main__":
    file, inputs, outputs = sys.argv[1:]
    if Path(file).is_dir():
        read = savedmodel
    else:
        read = stablehlo if zipfile.is_zipfile(file) else onnx
    detect, description = read(file)
    given = np.load(inputs)
    np.savez(outputs, **detect(given["images"], given["sizes"]))
    imported = {name.partition(".")[0] for name in sys.modules}
    assert not imported & {"fpn_jax", "flax"}
    print(json.dumps(description))
