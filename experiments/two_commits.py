"""Rows of the benchmark by two checkouts of this project, which take turns.

    git worktree add ../before COMMIT
    python -m experiments.two_commits ../before [ROW …] [--rounds 4]

A round starts a process of each; both prepare the row, then run it in turns, as often
as the benchmark does. Prints the time of the other checkout over the time of this one,
the median of the rounds and in brackets each round, which is the median of its turns.
Above 1 this checkout is faster. Two processes of the same code can differ by several
percent throughout, so more rounds say more than more turns. A row that fails in one of
them, or that the other does not have, is told and passed over.

Exit status: 0 done, 2 wrong input or a row that failed.
"""

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import fpn_jax
from fpn_jax.benchmark import ROWS, usual_rows
from fpn_jax.choices import check_choice
from fpn_jax.command_line import WRONG_INPUT, Positional, parse, user_errors

_HERE = Path(fpn_jax.__file__).parents[1]
_SHORTEST_TURN = 0.02  # seconds; a row of half a millisecond is run many times a turn
_PROCESS = """
import sys, time
from fpn_jax.benchmark import ROWS
from fpn_jax.runtime import set_up
set_up()
contest = ROWS[sys.argv[1]](False)
(run,) = contest.contestants.values()
run(), run()
print(contest.runs, flush=True)
for runs in sys.stdin:
    start = time.perf_counter()
    for _ in range(int(runs)):
        run()
    print(time.perf_counter() - start, flush=True)
"""


@dataclass(frozen=True)
class Arguments:
    other: Positional[Path]  # Directory of the other checkout.
    # Names of the rows to compare, by default those that `fpn-jax benchmark` measures.
    rows: Positional[tuple[str, ...]] = usual_rows()
    rounds: int = 4  # Pairs of processes for each row.


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("two_commits"):
        chosen = parse(Arguments, arguments, command="two_commits", description=__doc__)
        for name in chosen.rows:
            check_choice("row", name, tuple(ROWS))
        if not (chosen.other / "fpn_jax").is_dir():
            raise _refused(f"other: no checkout of this project in {chosen.other}")
        if chosen.rounds < 1:
            raise _refused(f"rounds is {chosen.rounds}, and must be at least 1")
        return max([compare(name, chosen) for name in chosen.rows], default=0)


def compare(row: str, chosen: Arguments) -> int:
    """Prints the ratios of a row and returns the exit status."""
    try:
        ratios = [one_round(row, chosen.other) for _ in range(chosen.rounds)]
    except ChildProcessError as error:
        print(f"two_commits: {row}: {error}", file=sys.stderr)
        return WRONG_INPUT
    each = " ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"{row}: {statistics.median(ratios):.3f} ({each})", flush=True)
    return 0


def one_round(row: str, other: Path) -> float:
    """Returns the other checkout's time over ours, the median of the turns."""
    with contextlib.ExitStack() as stack:
        theirs, ours = (
            stack.enter_context(_process(checkout, row)) for checkout in (other, _HERE)
        )
        turns = min(int(_answer(process)) for process in (theirs, ours))
        runs = 1 + int(_SHORTEST_TURN / _seconds(ours, 1))
        ratios = []
        for turn in range(turns):
            if turn % 2:
                numerator, denominator = _seconds(theirs, runs), _seconds(ours, runs)
            else:
                denominator, numerator = _seconds(ours, runs), _seconds(theirs, runs)
            ratios.append(numerator / denominator)
    return statistics.median(ratios)


@contextlib.contextmanager
def _process(checkout: Path, row: str) -> Iterator[subprocess.Popen[str]]:
    """A process of a checkout that has prepared the row and run it twice."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROCESS, row],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout.resolve())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _seconds(process: subprocess.Popen[str], runs: int) -> float:
    assert process.stdin
    with contextlib.suppress(BrokenPipeError):  # it has ended, and answers nothing
        process.stdin.write(f"{runs}\n")
        process.stdin.flush()
    return float(_answer(process))


def _answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise ChildProcessError("a process ended, and says above why")
    return line


def _refused(line: str) -> SystemExit:
    print(f"two_commits: {line}", file=sys.stderr)
    return SystemExit(WRONG_INPUT)


if __name__ == "__main__":
    sys.exit(main())
