"""Ours held against other libraries, which run beside it.

`import_torchvision` gives torch and torchvision, with or without compiled operators;
nothing else here imports them, and ValueError says where they are not installed.
`live_detectron2.py` has Detectron2's R-CNNs, in plain torch by another library.
`lively_detector` is a detector of theirs with random weights that finds things, so that
no proof needs a download. `prove.py` and `prove_backbone.py` compare a converted model
with its original on given images: every map as the largest difference of its own scale,
detections as pairs within tolerances that are fixed there (`match_detections`), the
others as ties (`count_ties`) or as different. Their arrays are NCHW, ours NHWC.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.parity.live_torchvision import import_torchvision
    from fpn_jax.parity.prove import Proof, count_ties, match_detections, proofs_table
    from fpn_jax.parity.prove_backbone import backbone_differences
    from fpn_jax.parity.random_detectors import lively_detector, randomize_norms

__all__ = [
    "Proof",
    "backbone_differences",
    "count_ties",
    "import_torchvision",
    "lively_detector",
    "match_detections",
    "proofs_table",
    "randomize_norms",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.parity.live_torchvision": ("import_torchvision",),
        "fpn_jax.parity.prove": (
            "Proof",
            "count_ties",
            "match_detections",
            "proofs_table",
        ),
        "fpn_jax.parity.prove_backbone": ("backbone_differences",),
        "fpn_jax.parity.random_detectors": ("lively_detector", "randomize_norms"),
    },
)
