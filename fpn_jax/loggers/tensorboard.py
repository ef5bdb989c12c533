"""TensorBoard's event files in a run directory."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter

from fpn_jax.loggers.contract import Ending


class TensorBoard:
    """Writes `events/`; what was written after `first_step` is not shown any more."""

    def __init__(self, run: Path, first_step: int):
        self._writer = SummaryWriter(
            str(run / "events"), purge_step=first_step + 1, write_to_disk=True
        )

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self, ending: Ending) -> None:
        self._writer.close()
