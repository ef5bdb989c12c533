"""What all backbones agree on: the levels they give and how their stages are named.

`stem` is everything below stage 2, and `stage2` … `stage5` make C2 … C5, so that
freezing reads the same for each: `frozen_stages` 0 freezes nothing, 1 the stem, 2 the
stem and stage 2 (usual in fine-tuning), … 5 everything. A backbone that goes on above
C5 has a `stage6`.
"""

from collections.abc import Collection
from typing import Any

import jax

from fpn_jax.choices import check_choice

STAGES = ("stem", "stage2", "stage3", "stage4", "stage5", "stage6")


def check_stages(levels: Collection[int], frozen_stages: int, *, top: int = 5) -> None:
    """Returns nothing; raises ValueError for a level or a count that does not exist.

    `top` is the last stage of the backbone, hence also how many it has.
    """
    for level in levels or (None,):
        check_choice("levels", level, range(2, top + 1))
    check_choice("frozen_stages", frozen_stages, range(top + 1))


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
