"""Rows of the benchmark: ours and others at the same work, in turns.

A row is a function `row(peer, …) -> Contest`: with `peer` False of ours alone, else
beside another library. The contestants are ready to run, do the row's whole work in
every call, and have been shown to agree before they are timed. `take_turns` times them
A B A B …, and gives each a `Timing`: seconds, and the ratio to ours. The command is
`python -m fpn_jax.benchmark`, which lists the rows.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.benchmarks.timing import Contest, Timing, take_turns

__all__ = ["Contest", "Timing", "take_turns"]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.benchmarks.timing": ("Contest", "Timing", "take_turns"),
    },
)
