"""Test set-up: eight CPU devices, the same CPU flags as the commands, strict ranks."""

from fpn_jax.runtime import set_cpu_flags

set_cpu_flags()

import jax  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")
