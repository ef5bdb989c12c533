import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.sampling import balanced_sample


def draw(num_positive, num_negative, num_ignored=0, *, num, fraction=0.5, seed=0):
    """Candidates in the order positive, negative, ignored."""
    kind = np.repeat(np.arange(3), [num_positive, num_negative, num_ignored])
    sample = jax.jit(balanced_sample, static_argnames=("num", "positive_fraction"))
    return sample(
        jnp.asarray(kind == 0),
        jnp.asarray(kind == 1),
        num=num,
        positive_fraction=fraction,
        key=jax.random.key(seed),
    )


@pytest.mark.parametrize(
    "candidates, expected",
    [
        ((100, 100), (4, 4)),  # half and half
        ((1, 100), (1, 7)),  # negatives fill up
        ((100, 1), (4, 1)),  # positives do not
        ((0, 0, 50), (0, 0)),  # ignored candidates are never drawn
        ((3, 2, 50), (3, 2)),
    ],
)
def test_numbers_drawn_by_hand(candidates, expected):
    sample = draw(*candidates, num=8)
    assert (sample.positive.sum(), (sample.valid & ~sample.positive).sum()) == expected
    assert sample.index.shape == (8,)


def test_at_most_the_floor_of_the_fraction_is_positive():
    assert draw(10, 10, num=7, fraction=0.25).positive.sum() == 1


def test_positives_come_first_then_negatives_then_padding():
    sample = draw(3, 2, num=8)
    np.testing.assert_array_equal(sample.positive, [1, 1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(sample.valid, [1, 1, 1, 1, 1, 0, 0, 0])
    assert set(sample.index[:3].tolist()) == {0, 1, 2}
    assert set(sample.index[3:5].tolist()) == {3, 4}
    assert (sample.index[5:] == 0).all()


def test_no_candidate_is_drawn_twice():
    sample = draw(50, 200, 50, num=100)
    assert len(set(sample.index.tolist())) == 100
    assert (sample.index < 250).all()


def test_more_slots_than_candidates_take_every_candidate():
    sample = draw(5, 7, 3, num=100, fraction=1.0)
    assert set(sample.index[sample.valid].tolist()) == set(range(12))


def test_every_candidate_is_equally_likely():
    sample = jax.jit(
        jax.vmap(
            lambda key: balanced_sample(
                jnp.arange(12) < 4,
                jnp.arange(12) >= 4,
                num=4,
                positive_fraction=0.5,
                key=key,
            )
        )
    )(jax.random.split(jax.random.key(0), 4000))
    share = np.bincount(sample.index.ravel(), minlength=12) / 4000
    # 2 of 4 positives, 2 of 8 negatives; 0.03 is four standard deviations.
    np.testing.assert_allclose(share, [0.5] * 4 + [0.25] * 8, atol=0.03)


def test_same_key_draws_the_same_sample():
    a, b, c = (draw(50, 50, num=16, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.index, b.index)
    assert (a.index != c.index).any()


@pytest.mark.parametrize("wrong", [{"num": 0}, {"num": 8, "fraction": 1.5}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="num must be at least 1"):
        draw(1, 1, **wrong)
