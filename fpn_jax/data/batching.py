"""The common shape of a data set's batches, and the share that a process reads."""

import dataclasses

from fpn_jax.data.canvases import BoxScale
from fpn_jax.data.example import Source


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batching:
    """The form of every batch; `batch` says what it holds.

    Raises ValueError for a number out of its range.
    """

    batch_size: int  # examples per process
    canvas: tuple[int, int]  # height, width
    max_boxes: int  # of an image with more, the largest are kept, crowd regions last
    mask_size: int | None = None  # side of the masks of the source; None: no masks
    keypoints: bool = False  # whether batches have the source's keypoints
    box_scale: BoxScale = "sides"  # of images that are fitted into the canvas
    max_errors: int  # this many different unreadable images are skipped

    def __post_init__(self):
        for name in ("batch_size", "max_boxes", "mask_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: {value} given, must be >= 1")

    def check(self, source: Source) -> None:
        """Raises ValueError where the source cannot be read in this form."""
        if not len(source):
            raise ValueError(f"source: {source.name} has no examples")
        if self.keypoints and source.keypoint_spec is None:
            raise ValueError(f"keypoints: {source.name} has none")

    def turned(self) -> "Batching":
        """Returns the same on the canvas laid on its other side."""
        return dataclasses.replace(self, canvas=self.canvas[::-1])


@dataclasses.dataclass(frozen=True)
class Share:
    """The share of one process: part `index` of `count` of every global batch.

    Raises ValueError where there is no such part.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self):
        if self.count < 1:
            raise ValueError(f"count: {self.count} given, must be >= 1")
        if not 0 <= self.index < self.count:
            raise ValueError(f"index: {self.index} given, must be 0 … {self.count - 1}")

    def rows(self, batch_size: int) -> slice:
        """Returns the rows of a global batch, of `batch_size` per process."""
        return slice(self.index * batch_size, (self.index + 1) * batch_size)


WHOLE = Share()
