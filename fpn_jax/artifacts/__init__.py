"""Detectors as files that run without this package.

An artifact is one program from pixels to final boxes with its weights inside. It takes
`images [B, H, W, 3]` uint8 RGB, which lie at the upper left of its canvas above zeros,
and `sizes [B, 2]` int32, their heights and widths there (0, 0: no image). It gives the
arrays of `Detections` by their names, in pixels of the canvas. `metadata.py` says in
plain JSON how images come onto the canvas and what the outputs mean; it is kept inside.

`stablehlo.py` and `onnx_file.py` write one of `FORMATS` each, and return what runs it;
`export.py` proves by `proof.py` that it finds what the detector finds.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.artifacts.export import FORMATS, export_detector
    from fpn_jax.artifacts.proof import ExportProof

__all__ = [
    "ExportProof",
    "FORMATS",
    "export_detector",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.artifacts.export": ("FORMATS", "export_detector"),
        "fpn_jax.artifacts.proof": ("ExportProof",),
    },
)
