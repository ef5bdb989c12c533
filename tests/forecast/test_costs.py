"""Costs of a small program written by hand, and of one that XLA has compiled."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from fpn_jax.forecast.chips import Chip
from fpn_jax.forecast.costs import (
    SECONDS_PER_ROW,
    UNKNOWN_RUNS,
    costs_of,
    dearest,
    module_of,
    seconds_by_module,
)
from fpn_jax.forecast.program_text import num_bytes, read_program

# A cycle takes a nanosecond, and a byte a thousandth of it.
CHIP = Chip(2e9, 0, 1e12, 1, "", "")
TEXT = (Path(__file__).parent / "program.txt").read_text()


@pytest.fixture(scope="module")
def costs():
    return costs_of(read_program(TEXT))


def test_cycles_count_as_often_as_their_loop_runs(costs):
    # 13 runs are in the tuple that the first loop carries; the second has no number.
    assert costs.guessed_loops == 1
    runs = 13 + UNKNOWN_RUNS
    assert sum(part.cycles for part in costs.parts) == runs * 1000 + 70


def test_rows_without_an_estimate_are_charged(costs):
    runs = 13 + UNKNOWN_RUNS
    # Gathered in the loops and by a SparseCore, and scattered.
    assert costs.rows == (runs + 1) * 20 + 20
    seconds = (runs * 1000 + 70) / 1e9 + costs.rows * SECONDS_PER_ROW
    assert costs.seconds(CHIP) == pytest.approx(seconds + costs.moved / 1e12)


def test_what_else_has_no_estimate_moves_bytes(costs):
    # The sort of two arrays, and the flags that end the loops: written and read.
    moved = {x.instruction.operation: x.moved for x in costs.parts if x.moved}
    assert moved["sort"] == 2 * 2 * 4 * 6400
    assert "custom-call" not in moved  # a name for what is there
    assert costs.moved == sum(moved.values())


def test_a_branch_costs_what_the_dearer_one_does(costs):
    assert [part.cycles for part in costs.parts if part.cycles in (5, 70)] == [70]


def test_bytes_of_collectives(costs):
    assert costs.collective_bytes == {"all-reduce": 64 * 4 + 6 * 2 + 16 * 4}
    assert costs.hidden_bytes == {"all-reduce": 16 * 4}


def test_seconds_by_module_have_what_is_fused_in_its_module(costs):
    seconds = seconds_by_module(costs.parts, CHIP)
    assert list(seconds)[0] == "box_head"
    assert seconds["box_head, backward"] == pytest.approx(20 * SECONDS_PER_ROW)
    assert sum(seconds.values()) == pytest.approx(costs.seconds(CHIP))


def test_the_dearest_part_is_first(costs):
    first, second = dearest(costs, CHIP, 2)
    assert (first.instruction.name, first.runs) == ("fusion.2", 13)
    assert first.seconds(CHIP) >= second.seconds(CHIP)


@pytest.mark.parametrize(
    ("scope", "module"),
    [
        ("jit(f)/jvp(Net.loss)/backbone/stage2/block0/conv/add", "backbone.stage2"),
        (
            "jit(f)/transpose(jvp(Net.loss))/neck/neck._merge/reduce_sum",
            "neck.neck._merge, backward",
        ),
        ("jit(f)/jvp(Net.loss)/rpn/vmap(rpn._match)/while/body/lt", "rpn"),
        ("jit(f)/mul", "outside of modules"),
        ("", "outside of modules"),
    ],
)
def test_the_module_of_a_scope(scope, module):
    assert module_of(scope) == module


@pytest.mark.parametrize(
    ("shape", "number"),
    [
        ("f32[2,3]{1,0}", 24),
        ("bf16[8]{0:T(256)(2,1)}", 16),
        ("pred[5]", 5),
        ("(s32[], f32[2]{0}, /*index=2*/u8[3])", 15),
        ("token[]", 0),
    ],
)
def test_bytes_of_a_shape(shape, number):
    assert num_bytes(shape) == number


def test_the_text_of_a_compiled_program_is_read():
    def f(x):
        return jax.lax.fori_loop(0, 7, lambda _, x: jnp.sin(x) @ x, x)

    text = jax.jit(f).lower(jnp.zeros((4, 4))).compile().as_text()
    program = read_program(text)
    assert program.entry in program.computations
    operations = {x.operation for x in program.computations[program.entry].values()}
    assert "parameter" in operations
    assert costs_of(program).guessed_loops <= 1  # no cycles on a CPU, and no error


def test_another_text_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        read_program("module @jit_f {}")
