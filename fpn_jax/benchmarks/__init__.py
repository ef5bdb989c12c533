"""Rows of the benchmark; the command is `fpn_jax.benchmark`.

A row is a function `(peer: bool, **sizes) -> Contest`: contestants that do the same
work, ours and, with `peer`, torchvision's. They are shown to agree before anything is
timed. `timing.take_turns` runs them in turns on the same machine.
"""
