"""Runs an artifact with as little as it needs: reads_artifact FILE INPUTS OUTPUTS.

INPUTS is a NumPy archive of `images` and `sizes`, OUTPUTS one of what was found. No
module of fpn_jax or flax is imported: this file stands for other people's programs.
"""

import json
import sys
import zipfile

import numpy as np


def read_stablehlo(path):
    import jax
    from jax import export

    with zipfile.ZipFile(path) as file:
        program = export.deserialize(bytearray(file.read("program")))
        about = json.loads(file.read("metadata.json"))
    detect = jax.jit(program.call)
    return lambda images, sizes: jax.device_get(detect(images, sizes)), about


def read_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["fpn_jax"])
    names = [output.name for output in session.get_outputs()]

    def detect(images, sizes):
        found = session.run(names, {"images": images, "sizes": sizes})
        return dict(zip(names, found, strict=True))

    return detect, about


if __name__ == "__main__":
    path, inputs, outputs = sys.argv[1:]
    detect, about = (read_onnx if path.endswith(".onnx") else read_stablehlo)(path)
    given = np.load(inputs)
    np.savez(outputs, **detect(given["images"], given["sizes"]))
    print(json.dumps(about))
    assert not {"fpn_jax", "flax"} & sys.modules.keys()
