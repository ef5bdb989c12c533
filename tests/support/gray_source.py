"""A source of plain images, some of them unreadable."""

import numpy as np

from fpn_jax.data.example import Category, Example, UnreadableImage


class GraySource:
    """Gray images of 40 x 40 with one object each; image ids are the indices."""

    name = "gray"
    categories = (Category(0, "thing"),)
    keypoint_spec = None
    defects = ()
    image_sizes = None

    def __init__(self, size: int, *, unreadable: tuple[int, ...] = ()):
        self._size, self._unreadable = size, unreadable

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> Example:
        if index in self._unreadable:
            raise UnreadableImage(f"{index}.jpg: broken")
        return Example(
            image_id=index,
            name=f"{index}.jpg",
            image=np.full((40, 40, 3), 128, np.uint8),
            boxes=np.float32([[5, 5, 25, 25]]),
            labels=np.zeros(1, np.int32),
            crowd=np.zeros(1, np.bool_),
            areas=np.float32([400]),
        )

    def truth(self, index: int) -> Example:
        return self[index]

    def has_objects(self, *, keypoints: bool) -> None:
        """Not known."""

    def object_counts(self) -> None:
        """Not known."""
