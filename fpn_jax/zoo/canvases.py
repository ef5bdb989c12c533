"""The size at which each named detector sees an image."""

# Largest shorter and longer side of an image, in torchvision and Detectron2.
_USUAL = (800, 1333)
_OTHERS = {"fasterrcnn_mobilenet_v3_large_320_fpn": (320, 640)}


def canvas_of(name: str) -> tuple[int, int]:
    """Returns the canvas into which the images of a named detector are fitted."""
    return _OTHERS.get(name, _USUAL)
