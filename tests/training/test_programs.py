import jax
import pytest

from fpn_jax.training.config import Config
from fpn_jax.training.programs import make_programs
from tests.support.tiny_detectors import DETECTORS


def test_strict_promotion_which_optax_does_not_obey_is_refused():
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    try:
        with pytest.raises(ValueError, match="JAX_NUMPY_DTYPE_PROMOTION=strict: optax"):
            make_programs(Config(model=DETECTORS["fcos"]))
    finally:
        jax.config.update("jax_numpy_dtype_promotion", "standard")
