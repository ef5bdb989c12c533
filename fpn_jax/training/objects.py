"""Whether there is anything to learn in training data, before the first step."""

import numpy as np

from fpn_jax.data.example import Example, Source, UnreadableImage

_FEW = 0.1  # share of the images with objects below which a line says so
_LOOKED_AT = 32  # images, where a source knows of none before it reads it


def check_objects(source: Source, *, keypoints: bool) -> str | None:
    """Says in a line that few of the images have objects; None where enough have.

    A source that knows nothing of its images is judged by some of them.

    Args:
        source: of the training images.
        keypoints: whether only objects with keypoints teach anything.

    Raises ValueError where none of the images has an object.
    """
    wanted = "an object with keypoints" if keypoints else "an object"
    known = source.has_objects(keypoints=keypoints)
    found = _looked_at(source, keypoints=keypoints) if known is None else known
    whole = len(found) == len(source)
    number = int(np.sum(found))
    if not len(found) or number >= _FEW * len(found):
        return None
    images = f"{len(found)} images" + ("" if whole else " that were looked at")
    if not number and whole:
        raise ValueError(
            f"data.train: none of the {images} of {source.name} has {wanted}, so that "
            f"nothing could be learnt{_crowds(source)}; `fpn-jax doctor` "
            "looks at a data set"
        )
    return (
        f"data.train: {number} of the {images} of {source.name} "
        f"{'has' if number == 1 else 'have'} {wanted}, all others are background"
        f"{_crowds(source)}; --data.skip-empty leaves them out"
    )


def _crowds(source: Source) -> str:
    counts = source.object_counts()
    crowds = 0 if counts is None else int(counts[:, 1].sum())
    if not crowds:
        return ""
    return f"; {crowds} annotations are crowd regions (iscrowd 1), which are no objects"


def _looked_at(source: Source, *, keypoints: bool) -> np.ndarray:
    """Returns of some images, evenly chosen, whether they have an object."""
    last = len(source) - 1
    indices = np.unique(np.linspace(0, last, min(_LOOKED_AT, len(source))).astype(int))
    found = []
    for index in indices.tolist():
        try:
            found.append(_has_object(source[index], keypoints=keypoints))
        except UnreadableImage:
            found.append(False)
    return np.array(found, np.bool_)


def _has_object(example: Example, *, keypoints: bool) -> bool:
    chosen = ~example.crowd
    if keypoints:
        if example.keypoints is None:
            return False
        chosen = chosen & (example.keypoints[..., 2] > 0).any(axis=1)
    return bool(chosen.any())
