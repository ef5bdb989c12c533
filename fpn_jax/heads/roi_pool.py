"""Cuts the features of boxes out of a pyramid for a head (FPN, section 4.2)."""

import dataclasses

import jax

from fpn_jax.ops.roi_align import assign_levels, pyramid_roi_align
from fpn_jax.types import Pyramid


@dataclasses.dataclass(frozen=True)
class RoIPool:
    """RoIAlign of each box on the level that suits its size.

    Adaptive sampling takes as many samples along a side of a cell as it has cells of
    the level, rounded up, of every box: 0 of one without a side.
    """

    size: int = 7  # Cells along a side of the cut-out.
    levels: tuple[int, ...] = (2, 3, 4, 5)  # Levels from which features are cut out.
    # Side in pixels of a box that belongs to P4 (FPN, eq. 1).
    canonical_size: float = 224.0
    # Samples along a side of a cell; 0 takes as many as the box needs, as Detectron2
    # does.
    sampling_ratio: int = 2
    aligned: bool = False  # Place pixel centers at halves, as Detectron2 does.

    def __call__(
        self, pyramid: Pyramid, boxes: jax.Array, *, canvas: tuple[int, int]
    ) -> jax.Array:
        """Returns the features [B R, size, size, C] of `boxes [B, R, 4]`.

        Raises ValueError where the pyramid lacks one of the levels.
        """
        if missing := set(self.levels) - pyramid.keys():
            raise ValueError(
                f"pool.levels are {self.levels}, the neck gives {sorted(pyramid)}: no "
                f"level {min(missing)}"
            )
        pooled = pyramid_roi_align(
            {level: pyramid[level] for level in self.levels},
            boxes,
            canvas=canvas,
            size=self.size,
            sampling_ratio=self.sampling_ratio,
            aligned=self.aligned,
            canonical_size=self.canonical_size,
        )
        return pooled.reshape(-1, *pooled.shape[2:])

    def levels_of(self, boxes: jax.Array) -> jax.Array:
        """Returns the level [N] from which the features of `boxes [N, 4]` are cut."""
        return assign_levels(boxes, self.levels, canonical_size=self.canonical_size)
