"""A detector in use: from images as people have them to the objects in them.

`load` returns a run, a converted checkpoint or a published model as a `Predictor`: a
function from an image, or several, to detections in the pixels of each. An image is
scaled onto the canvas that the detector was trained on, so that programs are few and
`predict` gives what `evaluate` measures.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.inference.loading import load
    from fpn_jax.inference.predictor import Predictor

__all__ = [
    "Predictor",
    "load",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.inference.loading": ("load",),
        "fpn_jax.inference.predictor": ("Predictor",),
    },
)
