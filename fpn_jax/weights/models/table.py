"""All models whose weights come by name."""

from collections.abc import Mapping

from fpn_jax.weights.models.detectron2 import DETECTRON2_ROWS
from fpn_jax.weights.models.entry import PublishedModel
from fpn_jax.weights.models.torchvision import CLASSIFIER_ROWS, DETECTOR_ROWS
from fpn_jax.weights.models.yolox import YOLOX_ROWS

MODELS: Mapping[str, PublishedModel] = {
    row.name: row
    for row in (
        *DETECTOR_ROWS,
        *DETECTRON2_ROWS,
        *YOLOX_ROWS,
        *CLASSIFIER_ROWS,
    )
}
"""The rows by name, detectors first."""
