"""The number of steps in a number of epochs."""

import math
from collections.abc import Sequence

_DIGITS = "digits"
# Our option, and what other libraries call it.
_BATCH = ("--data.batch-size", "--batch", "--batch-size")
_SOURCE = ("--data.source", "--data", "--dataset")


def steps_for(epochs: str, arguments: Sequence[str]) -> str:
    """Says how many training steps make so many epochs, as far as the data tells.

    The number of images and the batch size come from the command line or its defaults.
    """
    said = "training is counted in steps"
    example = "an epoch has as many as the images divided by --data.batch-size"
    if (count := _images(arguments)) is not None:
        batch = _number(_value(arguments, _BATCH) or "4") or 4
        steps = math.ceil(count / batch)
        example = f"{count} images in batches of {batch} are {steps} steps an epoch"
        if wanted := _number(epochs):
            return f"{said}: --train.steps {wanted * steps}; {example}"
    return f"{said}: --train.steps 700; {example}"


def _images(arguments: Sequence[str]) -> int | None:
    """Returns the number of training images; None where the data cannot be read."""
    from fpn_jax.data.digits.scenes import SPLITS
    from fpn_jax.data.sources import open_source

    split = _value(arguments, ("--data.train",)) or "train"
    source = _value(arguments, _SOURCE) or _DIGITS
    if source == _DIGITS:  # not drawn for the sake of their number
        return SPLITS.get(split)
    try:
        return len(open_source(source, split, strict=False))
    except (ValueError, OSError):
        return None


def _value(arguments: Sequence[str], options: Sequence[str]) -> str | None:
    for number, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") in options or (equals and f"--{name}" in options):
            return value if equals else "".join(arguments[number + 1 :][:1])
    return None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) else None
