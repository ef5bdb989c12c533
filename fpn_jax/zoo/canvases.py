"""The size at which each named detector sees an image."""

from fpn_jax.zoo.yolox import YOLOX_SIDES

# Largest shorter and longer side of an image, in torchvision and Detectron2.
_USUAL = (800, 1333)
_OTHERS = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": (320, 640),
    **{name: (side, side) for name, side in YOLOX_SIDES.items()},
}


def released_canvas(name: str) -> tuple[int, int]:
    """Returns the canvas into which the images of a named detector are fitted."""
    return _OTHERS.get(name, _USUAL)
