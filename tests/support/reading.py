"""A process that takes batches, notes whose they are, and can be killed at any time.

python -m tests.support.reading FOLDER WORKERS STEPS
"""

import json
import sys
import time
from pathlib import Path

from fpn_jax.data.batching import Batching
from fpn_jax.data.loader import training_batches
from fpn_jax.training.whole_files import replace_text
from tests.support.gray_source import GraySource

SIZE, BATCH, SAVE_EVERY = 37, 4, 3


def main(folder: Path, workers: int, steps: int) -> None:
    """Goes on from the last save; every step is a line of `steps.jsonl`."""
    batches = training_batches(
        GraySource(SIZE),
        Batching(batch_size=BATCH, canvas=(64, 64), max_boxes=2, max_errors=0),
        seed=5,
        workers=workers,
    )
    saved = folder / "saved.json"
    first = 0
    if saved.exists():
        first, position = json.loads(saved.read_text())
        batches.set_state(position)
    with (folder / "steps.jsonl").open("a") as file:
        for step in range(first + 1, steps + 1):
            ids = next(batches)["image_ids"].tolist()
            file.write(json.dumps([step, ids]) + "\n")
            file.flush()
            if step % SAVE_EVERY == 0:
                replace_text(saved, json.dumps([step, batches.get_state()]))
            time.sleep(0.02)  # the training step
    batches.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
