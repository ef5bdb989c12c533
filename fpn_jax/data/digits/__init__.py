"""The embedded data set: scenes of handwritten digits on photographs.

It needs no download: scikit-learn brings the scans and the photographs. `draw_scene`
draws one scene of 320x320 pixels from the `Material` of its split, with boxes, masks
and the keypoints `KEYPOINTS`; `SPLITS` says how many there are. The splits share
neither scans nor regions of photographs. `prepare_digits` draws all on first use, into
the cache directory, as a TFDS data set that is then read like any other, and returns
its path.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.data.digits.dataset import prepare_digits, write_digits
    from fpn_jax.data.digits.scenes import (
        KEYPOINTS,
        SPLITS,
        Material,
        Scene,
        draw_scene,
        load_material,
    )

__all__ = [
    "KEYPOINTS",
    "Material",
    "SPLITS",
    "Scene",
    "draw_scene",
    "load_material",
    "prepare_digits",
    "write_digits",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.data.digits.dataset": ("prepare_digits", "write_digits"),
        "fpn_jax.data.digits.scenes": (
            "KEYPOINTS",
            "Material",
            "SPLITS",
            "Scene",
            "draw_scene",
            "load_material",
        ),
    },
)
