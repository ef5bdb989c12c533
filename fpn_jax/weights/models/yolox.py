"""YOLOX as released (0.1.1rc0), whose files have no published digest or size."""

from fpn_jax.weights.models.entry import PublishedModel

_ADDRESS = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"


def _published(name: str, side: int, boxes: float) -> PublishedModel:
    return PublishedModel(
        name=name,
        model=name,
        source="yolox",
        task="boxes",
        url=f"{_ADDRESS}{name}.pth",
        digest=None,
        mebibytes=None,
        license="Apache-2.0",
        figures={"boxes": boxes},
        inputs=f"BGR, 0 … 255; {side} x {side}, top left, 114 elsewhere",
    )


YOLOX_ROWS = (
    _published("yolox_nano", 416, 25.8),
    _published("yolox_tiny", 416, 32.8),
    _published("yolox_s", 640, 40.5),
    _published("yolox_m", 640, 46.9),
    _published("yolox_l", 640, 49.7),
    _published("yolox_x", 640, 51.1),
)
