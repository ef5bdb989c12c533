"""What all backbones agree on: the levels they give and how their stages are named.

`stem` is everything below stage 2, and `stage2` … `stage5` make C2 … C5, so that
freezing reads the same for each: `frozen_stages` 0 freezes nothing, 1 the stem, 2 the
stem and stage 2 (usual in fine-tuning), … 5 everything.
"""

from collections.abc import Collection
from typing import Any

import jax

from fpn_jax.choices import check_choice

LEVELS = (2, 3, 4, 5)
STAGES = ("stem", "stage2", "stage3", "stage4", "stage5")


def check_stages(levels: Collection[int], frozen_stages: int) -> None:
    """Returns nothing; raises ValueError for a level or a count that does not exist."""
    for level in levels or (None,):
        check_choice("levels", level, LEVELS)
    check_choice("frozen_stages", frozen_stages, range(len(STAGES) + 1))


def frozen_mask(params: dict[str, Any], frozen_stages: int) -> dict[str, Any]:
    """Returns a bool for each leaf of a backbone's parameters: True where frozen.

    For the optimizer: no gradient reaches these leaves, but weight decay would still
    move them.
    """
    frozen = STAGES[:frozen_stages]
    return {
        stage: jax.tree.map(lambda _, value=stage in frozen: value, leaves)
        for stage, leaves in params.items()
    }
