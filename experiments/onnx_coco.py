"""COCO's figures of an exported ONNX file, by onnxruntime alone.

    fpn-jax export yolox_nano nano.onnx --format onnx
    python experiments/onnx_coco.py nano.onnx val2017 instances_val2017.json

Neither fpn_jax nor JAX is imported: what is here is all that a program needs to use the
file. An image is resized and padded as the file's description says, and its boxes are
scaled back. Takes FILE.onnx, the folder of images, and the annotation file.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def detector_of(path: str):
    """Returns a function from an RGB image to boxes, scores and labels."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["fpn_jax"])
    (fit_height, fit_width), canvas = about["fit"], about["canvas"]
    batch = 1 if about["batch"] == "dynamic" else about["batch"]

    def detect(image: np.ndarray):
        height, width = image.shape[:2]
        scale = min(fit_height / height, fit_width / width)
        size = max(1, int(height * scale)), max(1, int(width * scale))
        images = np.zeros((batch, *canvas, 3), np.uint8)
        images[0, : size[0], : size[1]] = cv2.resize(image, size[::-1])
        sizes = np.zeros((batch, 2), np.int32)
        sizes[0] = size
        names = ["boxes", "scores", "labels", "valid"]
        boxes, scores, labels, valid = (
            x[0] for x in session.run(names, {"images": images, "sizes": sizes})
        )
        ratio = np.array([width / size[1], height / size[0]] * 2)
        if about["box_scale"] == "common":
            ratio = np.full(4, 1 / scale)
        return boxes[valid] * ratio, scores[valid], labels[valid]

    return detect, about["classes"]


def main(path: str, folder: str, annotations: str) -> dict[str, Any]:
    """Prints the twelve figures, and returns AP and the number of detections."""
    detect, classes = detector_of(path)
    truth = COCO(annotations)
    rows = []
    for image_id, about in truth.imgs.items():
        image = cv2.imread(str(Path(folder) / about["file_name"]))
        for box, score, label in zip(*detect(image[..., ::-1]), strict=True):
            x1, y1, x2, y2 = box.tolist()
            row = {"image_id": image_id, "category_id": classes[label]["id"]}
            row["bbox"] = [x1, y1, x2 - x1, y2 - y1]
            rows.append(row | {"score": float(score)})
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert not {"fpn_jax", "jax", "flax"} & sys.modules.keys()
    return {"AP": evaluation.stats[0], "detections": len(rows)}


if __name__ == "__main__":
    main(*sys.argv[1:])
