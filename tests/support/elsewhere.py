"""An exported file, read by a process that has nothing of ours."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

READER = Path(__file__).parents[2] / "experiments" / "read_artifact.py"


def read_elsewhere(file, images, sizes, place):
    """Returns the detections of a batch, and the description of the file."""
    np.savez(place / "in.npz", images=images, sizes=sizes)
    run = subprocess.run(
        [sys.executable, READER, file, place / "in.npz", place / "out.npz"],
        capture_output=True,
        text=True,
        cwd=place,  # where Python finds no package of ours
    )
    assert run.returncode == 0, run.stderr
    with np.load(place / "out.npz") as found:
        return dict(found), json.loads(run.stdout)
