"""Damaged files end as data, as a listed defect or as one line: never as a trace.

A minute of it in CI; `FPN_JAX_TESTS_FUZZ_SECONDS=1800 pytest -n 0 tests/test_fuzz.py`
for longer, and `FPN_JAX_TESTS_FUZZ_FILES=20000 pytest … -k torch` for so many files of
torch at least. A failure names the numbers of its cases, which are always damaged
alike.
"""

import contextlib
import faulthandler
import io
import itertools
import logging
import os
import random
import resource
import time
import traceback
from pathlib import Path

import pytest

from fpn_jax.command_line import user_errors
from tests.support.mutations import mutated
from tests.support.readers import READERS

SECONDS = float(os.environ.get("FPN_JAX_TESTS_FUZZ_SECONDS", "60")) / len(READERS)
FILES = int(os.environ.get("FPN_JAX_TESTS_FUZZ_FILES", "10"))  # of a reader, at least
SLOWEST = 10  # seconds of a case
LONGEST = 2000  # characters of a line
MEMORY = 2**30  # bytes by which a case may raise the peak


@pytest.mark.timeout(2 * SECONDS + 300 + FILES / 10)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_ends_as_data_as_a_defect_or_as_one_line(name, tmp_path):
    reader = READERS[name]
    reader.write(tmp_path)
    sound = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    reader.read(tmp_path, random.Random(0))  # compiles, imports
    found: dict[str, str] = {}  # wrong ends, with the first case and words of each
    logging.disable()
    try:
        end = time.monotonic() + SECONDS
        for number in itertools.count():
            if time.monotonic() > end and number >= FILES:
                break
            rng = random.Random(f"{name} {number}")
            path = rng.choice(sorted(sound))
            path.write_bytes(mutated(sound[path], rng))
            if wrong := how_it_ended(reader, tmp_path, rng):
                kind, words = wrong
                where = f"case {number}, {path.relative_to(tmp_path)}"
                found.setdefault(kind, f"{where}: {words}")
            path.write_bytes(sound[path])
    finally:
        logging.disable(logging.NOTSET)
    print(f"{number} files damaged")
    assert number >= FILES
    assert not found, "\n".join(f"{kind}: {case}" for kind, case in found.items())


def how_it_ended(reader, root: Path, rng: random.Random) -> tuple[str, str] | None:
    """Returns the kind of a wrong end and its words, or None for a right one."""
    start, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = io.StringIO()
    faulthandler.dump_traceback_later(6 * SLOWEST, exit=True)
    try:
        with contextlib.redirect_stderr(said), user_errors("fuzz"):
            reader.read(root, rng)
    except SystemExit:
        if len(said.getvalue()) > LONGEST:
            return "a long line", said.getvalue()[:400]
    except BaseException as error:
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        place = f"{Path(frame.f_code.co_filename).name}:{line}"
        return f"{type(error).__name__} at {place}", str(error)[:200]
    finally:
        faulthandler.cancel_dump_traceback_later()
    if time.monotonic() - start > SLOWEST:
        return "takes long", f"{time.monotonic() - start:.0f} s"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak  # KiB
    return ("takes memory", f"{grown} KiB") if grown * 1024 > MEMORY else None
