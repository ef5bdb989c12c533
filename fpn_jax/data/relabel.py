"""A data set whose classes are numbered as another's, or a model's."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import numpy as np

from fpn_jax.choices import check_choice
from fpn_jax.data.example import Category, Example, Source, Truth


class Relabeled:
    """The examples of a source, with labels that number given categories.

    Categories are told by their names, since data sets number them differently. They
    keep the ids of the source, so that results fit its annotation file; those that the
    source does not have get ids behind all of its own.

    Raises ValueError if the source has a category that is not given.
    """

    def __init__(self, source: Source, categories: Sequence[Category]):
        names = [category.name for category in categories]
        for category in source.categories:
            check_choice(f"category of {source.name}", category.name, names)
        known = {category.name: category for category in source.categories}
        free = count(
            1 + max((category.id for category in source.categories), default=0)
        )
        self.name = source.name
        self.keypoint_spec = source.keypoint_spec
        self.defects = source.defects
        self.image_sizes = source.image_sizes
        self.categories = tuple(
            known.get(name) or Category(next(free), name) for name in names
        )
        self._source = source
        self._labels = np.array(
            [names.index(category.name) for category in source.categories], np.int32
        )

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        example = self._source[index]
        return replace(example, labels=self._labels[example.labels])

    def truth(self, index: int) -> Example | Truth:
        """See `Source`."""
        truth = self._source.truth(index)
        return replace(truth, labels=self._labels[truth.labels])

    def has_objects(self, *, keypoints: bool) -> np.ndarray | None:
        """See `Source`."""
        return self._source.has_objects(keypoints=keypoints)

    def object_counts(self) -> np.ndarray | None:
        """See `Source`."""
        return self._source.object_counts()
