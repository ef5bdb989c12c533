"""A source by one word: the embedded digits, or the directory of a data set."""

from collections.abc import Iterator
from pathlib import Path

from fpn_jax.data.coco import CocoSource
from fpn_jax.data.digits import prepare_digits
from fpn_jax.data.example import Example, Source, UnreadableImage
from fpn_jax.data.tfds import TfdsSource


def open_source(name: str, split: str, *, masks: bool = False) -> Source:
    """Returns the source called `name`.

    Args:
        name: "digits"; a COCO folder (`annotations.json` and the images); or a prepared
            TFDS directory with the feature spec of `coco/2017`.
        split: of "digits" and of a TFDS directory; a COCO folder is one split.
        masks: whether examples have masks, which takes time. Keypoints are always read
            where the data has them.
    """
    if name == "digits":
        return TfdsSource(prepare_digits(), split, masks=masks)
    directory = Path(name).expanduser()
    if (directory / "dataset_info.json").is_file():
        return TfdsSource(directory, split, masks=masks)
    if (directory / "annotations.json").is_file():
        return CocoSource(directory, masks=masks)
    raise ValueError(
        f"data source {name!r} is neither 'digits' nor a directory with "
        "annotations.json (COCO) or dataset_info.json (TFDS)"
    )


def readable(source: Source) -> Iterator[Example]:
    """Yields the examples of a source in order, without those that are unreadable.

    It says nothing of these: the loader, which meets them too, counts and names them.
    """
    for index in range(len(source)):
        try:
            yield source[index]
        except UnreadableImage:
            pass
