"""Test set-up: eight CPU devices, the same CPU flags as the commands, strict ranks."""

import gc
import os

# Two workers share the cores: torch's threads would wait for each other's.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from fpn_jax.compilation import set_cpu_flags  # noqa: E402
from tests.support import xla  # noqa: E402

set_cpu_flags()
# Most of a cold run is compilation, and most programs run once. CI runs some tests as
# users compile, too.
as_users = "FPN_JAX_TESTS_COMPILE_AS_USERS" in os.environ
flags = os.environ.get("XLA_FLAGS", "")
if not as_users and xla.hasty_flags() not in flags:  # xdist's workers have them
    os.environ["XLA_FLAGS"] = f"{flags} {xla.hasty_flags()}".strip()
# Programs of one test serve the next, in this process and those it starts, in this
# clone and others: the small ones too, of which there are thousands.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(xla.cache())
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

if "FPN_JAX_TESTS_WITHOUT_TORCH" in os.environ:
    from fpn_jax.parity import live_torchvision
    from tests.support.left_out import LeftOut

    live_torchvision.import_torchvision = lambda **_: (LeftOut(), LeftOut())


def pytest_sessionstart(session) -> None:
    if not hasattr(session.config, "workerinput"):  # once, not in each worker
        xla.prune(xla.cache())


# JAX keeps what it knows of each program. The collector would look at all of it again
# and again, which took a seventh of the tests of the networks: it does so at the end of
# each file alone, and not at what is left of the files before.
gc.set_threshold(700, 10, 1_000_000)


@pytest.fixture(autouse=True, scope="module")
def garbage_is_collected():
    yield
    gc.collect()
    gc.freeze()
