"""Examples, changes to them, and batches: NumPy only, without JAX.

- A **source** (`Source`) is a data set: examples by index, in a fixed order, with
  `categories` by label. `open_source` finds one by a word or a path. An image that
  cannot be decoded raises `UnreadableImage`. Worker processes get it by pickling.
- An **example** (`Example`) is one image [H, W, 3], uint8 RGB, with its N objects:
  boxes [N, 4] xyxy float32 in pixels of that image, labels 0 … K-1, perhaps masks and
  keypoints; a `Truth` is its annotations alone. `Relabeled` and `without_empty` make
  other sources of a source.
- A **transform** (`Transform`) is `transform(example, rng) -> Example`, a frozen
  dataclass that a config can hold and a process receive. All chance comes from `rng`.
- A **batch** (`Batch`) is {name: array [B, …]}, in pixels of the canvas, padded to
  static shapes; `batch.py` lists the names. What batch number k of `training_batches`
  holds is a function of the source, the seed and k alone, however many workers read.

Loader workers import this room, and what imports JAX may take a TPU away from the run.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.data.batch import Batch, to_canvas
    from fpn_jax.data.defects import Defect
    from fpn_jax.data.example import (
        Category,
        Example,
        KeypointSpec,
        Source,
        Truth,
        UnreadableImage,
    )
    from fpn_jax.data.loader import evaluation_batches, training_batches
    from fpn_jax.data.mixing import CopyPaste, MixUp, Mosaic
    from fpn_jax.data.relabel import Relabeled
    from fpn_jax.data.selection import without_empty
    from fpn_jax.data.sources import decodable, open_source, readable
    from fpn_jax.data.transforms import (
        ColorJitter,
        FitCanvas,
        HorizontalFlip,
        RandomCrop,
        ScaleJitter,
        Transform,
    )

__all__ = [
    "Batch",
    "Category",
    "ColorJitter",
    "CopyPaste",
    "Defect",
    "Example",
    "FitCanvas",
    "HorizontalFlip",
    "KeypointSpec",
    "MixUp",
    "Mosaic",
    "RandomCrop",
    "Relabeled",
    "ScaleJitter",
    "Source",
    "Transform",
    "Truth",
    "UnreadableImage",
    "decodable",
    "evaluation_batches",
    "open_source",
    "readable",
    "to_canvas",
    "training_batches",
    "without_empty",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.data.batch": ("Batch", "to_canvas"),
        "fpn_jax.data.defects": ("Defect",),
        "fpn_jax.data.example": (
            "Category",
            "Example",
            "KeypointSpec",
            "Source",
            "Truth",
            "UnreadableImage",
        ),
        "fpn_jax.data.loader": ("evaluation_batches", "training_batches"),
        "fpn_jax.data.mixing": ("CopyPaste", "MixUp", "Mosaic"),
        "fpn_jax.data.relabel": ("Relabeled",),
        "fpn_jax.data.selection": ("without_empty",),
        "fpn_jax.data.sources": ("decodable", "open_source", "readable"),
        "fpn_jax.data.transforms": (
            "ColorJitter",
            "FitCanvas",
            "HorizontalFlip",
            "RandomCrop",
            "ScaleJitter",
            "Transform",
        ),
    },
)
