"""The agreement of all backbones: the levels they give and the names of their stages.

`stem` is everything below stage 2, and `stage2` … `stage5` make C2 … C5, so that
freezing reads the same for each: `frozen_stages` 0 freezes nothing, 1 the stem, 2 the
stem and stage 2 (usual in fine-tuning), … 5 everything. A backbone that goes on above
C5 has a `stage6`.
"""

from collections.abc import Collection
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

from fpn_jax.choices import check_choice

STAGES = ("stem", "stage2", "stage3", "stage4", "stage5", "stage6")


def check_stages(levels: Collection[int], frozen_stages: int, *, top: int = 5) -> None:
    """Raises ValueError for a level or a count of stages that does not exist.

    `top` is the last stage of the backbone, hence also how many it has.
    """
    for level in levels or (None,):
        check_choice("levels", level, range(2, top + 1))
    check_choice("frozen_stages", frozen_stages, range(top + 1))


def frozen_names(frozen_stages: int) -> tuple[str, ...]:
    """Returns the names of the first stages, which no step of training changes."""
    return STAGES[:frozen_stages]


def frozen_mask(params: dict[str, Any], frozen: Collection[str]) -> dict[str, Any]:
    """Returns a bool for each leaf of `params`: True in the parts named `frozen`.

    A part is a path, "stage2" or "backbone/stage2". For the optimizer: no gradient
    reaches these leaves, but weight decay would still move them.
    """
    parts = tuple(f"{part}/" for part in frozen)
    flat = flatten_dict(params, sep="/")
    mask = {path: f"{path}/".startswith(parts) for path in flat}
    return unflatten_dict(mask, sep="/")
