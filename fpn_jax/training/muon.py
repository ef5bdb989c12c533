"""Muon: the momentum of kernels, orthogonalized (Jordan et al. 2024).

It orthogonalizes as `optax.contrib.muon` does. That multiplies each kernel itself ten
times; here its Gram matrix is multiplied, as short as the kernel's shorter side, and
the kernel twice: a third of the time (`python -m fpn_jax.benchmark muon`).
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

_MOMENTUM = 0.95
# Factors of x, x xᵀ x, x xᵀ x xᵀ x (Jordan et al.): five rounds bring singular values
# 1e-3 … 1 to 0.7 … 1.2.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5
# Root mean square of an update, as AdamW's usually has it, so that one learning rate
# suits both (Liu et al. 2025, "Muon is scalable for LLM training", section 2.2).
_UPDATE_RMS = 0.2


def muon(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Returns Muon with Nesterov's momentum and decoupled decay, for kernels alone."""
    return optax.chain(
        optax.trace(_MOMENTUM, nesterov=True),
        optax.stateless(lambda updates, _: jax.tree.map(_of_usual_size, updates)),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def orthogonalize(kernel: jax.Array) -> jax.Array:
    """Returns the kernel [..., I, O] with its singular values near 1, by Newton-Schulz.

    As a matrix it is that of all inputs by the outputs. Each round multiplies it by a
    polynomial of its Gram matrix. These commute: the next Gram matrix, and the product
    of all polynomials, follow from this round's. A kernel of zeros stays one.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    if wide := matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    matrix = matrix / (jnp.linalg.norm(matrix) + 1e-8)
    gram = _dot(matrix.T, matrix)
    product = one = jnp.eye(len(gram), dtype=gram.dtype)
    linear, cubic, quintic = _COEFFICIENTS
    for _ in range(_ROUNDS):
        factor = linear * one + cubic * gram + quintic * _dot(gram, gram)
        product = _dot(product, factor)
        gram = _dot(_dot(factor, gram), factor)
    matrix = _dot(matrix, product)
    return (matrix.T if wide else matrix).reshape(kernel.shape)


# Rounded to bfloat16, as dots of a TPU are, rounds would lose small singular values.
_dot = partial(jnp.dot, precision="highest")


def _of_usual_size(kernel: jax.Array) -> jax.Array:
    outputs = kernel.shape[-1]
    # The root mean square of an orthogonal matrix is the longer side to the power -1/2.
    longer = max(outputs, kernel.size // outputs)
    return _UPDATE_RMS * longer**0.5 * orthogonalize(kernel)
