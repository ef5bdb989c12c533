"""A source without the images that have nothing to be found."""

import numpy as np

from fpn_jax.data.example import Example, Source, Truth


class Selection:
    """Some examples of a source, `indices` [N] int, under numbers of their own."""

    def __init__(self, source: Source, indices: np.ndarray):
        self.name = source.name
        self.categories = source.categories
        self.keypoint_spec = source.keypoint_spec
        self.defects = source.defects
        sizes = source.image_sizes
        self.image_sizes = None if sizes is None else sizes[indices]
        self._source = source
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Example:
        return self._source[int(self._indices[index])]

    def truth(self, index: int) -> Example | Truth:
        """See `Source`."""
        return self._source.truth(int(self._indices[index]))

    def has_objects(self, *, keypoints: bool) -> np.ndarray | None:
        """See `Source`."""
        found = self._source.has_objects(keypoints=keypoints)
        return None if found is None else found[self._indices]

    def object_counts(self) -> np.ndarray | None:
        """See `Source`."""
        counts = self._source.object_counts()
        return None if counts is None else counts[self._indices]


def without_empty(source: Source, *, keypoints: bool = False) -> Selection:
    """Returns the examples that have an object which is no crowd, in their order.

    So Detectron2 trains (`FILTER_EMPTY_ANNOTATIONS`), and with keypoints on images of a
    person with at least one (`MIN_KEYPOINTS_PER_IMAGE`).

    Args:
        keypoints: whether one of the object's keypoints must be annotated.

    Raises:
        ValueError: if no example is left, or if the source knows the objects of an
            image only when it reads it.
    """
    found = source.has_objects(keypoints=keypoints)
    if found is None:
        raise ValueError(
            f"skip_empty: {source.name} does not know which images have objects before "
            "it reads them, as all sources but TFDS and the digits do; must be False"
        )
    kept = np.flatnonzero(found)
    if not len(kept):
        what = "an object with keypoints" if keypoints else "an object"
        raise ValueError(f"skip_empty: {source.name} has no image with {what}")
    return Selection(source, kept)
