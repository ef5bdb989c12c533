"""Test set-up: eight CPU devices, the same CPU flags as the commands, strict ranks."""

import os
from pathlib import Path

# Two workers share the cores: torch's threads would wait for each other's.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from fpn_jax.compilation import set_cpu_flags  # noqa: E402

set_cpu_flags()

import jax  # noqa: E402

# Programs of one test serve the next, in this process and those it starts.
_CACHE = str(Path(__file__).parents[1] / ".pytest_cache" / "xla")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
jax.config.update("jax_compilation_cache_dir", _CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")
