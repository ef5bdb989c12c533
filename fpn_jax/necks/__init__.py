"""Necks: the levels of a backbone to levels of the same channels, most of them.

A neck is a Linen module with

    __call__(pyramid, *, train) -> {level: [B, H / 2**level, W / 2**level, channels]}

`pyramid` has any levels, in any order, each with channels of its own. The result begins
with the finest level. Levels may be added above the top one (`extra_levels.py`,
each half as large as the one below, rounded up), and left out. A level's sides
need not be twice the next level's: `upsample_to` of `ops` resizes by the rule of torch.
`train` tells batch norm to use the statistics of the batch.

A neck knows no backbone and no head; it takes the channels as they come. `YOLOXPAFPN`
keeps each level's own, and needs a head with stems for each level.
"""

from fpn_jax.necks.bifpn import BiFPN
from fpn_jax.necks.fpn import FPN
from fpn_jax.necks.pafpn import PAFPN
from fpn_jax.necks.yolox_pafpn import YOLOXPAFPN

__all__ = ["BiFPN", "FPN", "PAFPN", "YOLOXPAFPN"]
