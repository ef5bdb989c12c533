"""Twenty kills of a process that takes batches: no example is lost or seen twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.support.commands import ROOT
from tests.support.reading import BATCH, SIZE

KILLS, STEPS = 20, 111  # 12 epochs
COMMAND = [sys.executable, "-m", "tests.support.reading"]


@pytest.mark.slow
def test_every_example_is_used_once_in_each_epoch_whatever_was_killed(tmp_path):
    lines, rng = tmp_path / "steps.jsonl", random.Random(0)
    lines.touch()
    for _ in range(KILLS):
        workers = rng.choice((0, 1, 2))  # of another number each time
        process = subprocess.Popen(
            [*COMMAND, tmp_path, str(workers), "9999"], cwd=ROOT, start_new_session=True
        )
        enough = len(lines.read_text().splitlines()) + rng.randint(1, 9)
        deadline = time.monotonic() + 60
        while len(lines.read_text().splitlines()) < enough:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)  # its workers would stay
        process.wait()
    subprocess.run([*COMMAND, tmp_path, "0", str(STEPS)], cwd=ROOT, check=True)
    ids_of_step = {}
    repeated = 0
    for line in lines.read_text().splitlines():
        step, ids = json.loads(line)
        repeated += step in ids_of_step
        assert ids_of_step.setdefault(step, ids) == ids  # a step done again is the same
    assert repeated > 10  # between the saves and the kills
    order = [i for step in range(1, STEPS + 1) for i in ids_of_step[step]]
    assert len(order) == BATCH * STEPS == SIZE * 12
    epochs = [order[start : start + SIZE] for start in range(0, len(order), SIZE)]
    assert all(Counter(epoch) == Counter(range(SIZE)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 12  # in another order each time
