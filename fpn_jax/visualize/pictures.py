"""Pictures made of several: samples with what was found, and feature pyramids."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from fpn_jax.types import Detections
from fpn_jax.visualize.drawing import WHITE, draw_detections, draw_tag, draw_truth


def sample_grid(
    images: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    found: Sequence[Detections],
    *,
    names: Sequence[str] = (),
    true_labels: Sequence[np.ndarray] = (),
    skeleton: Sequence[tuple[int, int]] = (),
    columns: int = 4,
    panel: int = 480,
) -> np.ndarray:
    """One picture of all images with their true boxes (dashed) and what was found.

    Every image is scaled to fit a square of `panel` pixels before anything is drawn, so
    lines and tags read alike whatever the image's size. See `draw_detections`. With
    `true_labels` of every image the true boxes have their names below them.
    """
    panels = []
    true_names = [[names[int(one)] for one in labels] for labels in true_labels]
    for image, true, tags, detections in zip(
        images, truth, true_names or [()] * len(images), found, strict=True
    ):
        scale = panel / max(image.shape[:2])
        picture = cv2.resize(image, None, fx=scale, fy=scale)
        picture = draw_detections(
            picture,
            _scaled(detections, scale, picture.shape[:2]),
            names=names,
            skeleton=skeleton,
        )
        picture = draw_truth(picture, np.asarray(true) * scale, names=tags)
        panels.append(picture)
    return picture_grid(panels, columns=columns, panel=panel)


def picture_grid(
    pictures: Sequence[np.ndarray], *, columns: int, panel: int
) -> np.ndarray:
    """One picture of several, in rows on white.

    None has a side above `panel` pixels, and 4 white ones lie between two.
    """
    panels = [_pad(picture, panel + 4) for picture in pictures]
    blank = np.full_like(panels[0], 255)
    panels += [blank] * (-len(panels) % columns)
    rows = [panels[n : n + columns] for n in range(0, len(panels), columns)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def pyramid_picture(
    image: np.ndarray, pyramid: Mapping[int, np.ndarray], *, panel: int = 320
) -> np.ndarray:
    """The image, then the mean absolute activation of each level [H, W, C], fine first.

    Every level has its own brightness range, and its cells are drawn as squares.
    """
    scale = panel / max(image.shape[:2])
    size = tuple(round(side * scale) for side in image.shape[1::-1])
    panels = [cv2.resize(image, size)]
    for level, features in sorted(pyramid.items()):
        strength = np.abs(np.asarray(features, np.float32)).mean(axis=-1)
        strength = strength / max(float(strength.max()), 1e-12)
        shades = (255 * strength).astype(np.uint8)
        heat = cv2.applyColorMap(shades, cv2.COLORMAP_VIRIDIS)
        picture = cv2.resize(heat[..., ::-1], size, interpolation=cv2.INTER_NEAREST)
        grid = "x".join(str(side) for side in strength.shape)
        draw_tag(picture, f"level {level}: {grid}", (0, 0), WHITE)
        panels.append(picture)
    return np.concatenate(panels, axis=1)


def halved(image: np.ndarray) -> np.ndarray:
    """The image with half the sides."""
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def save_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes an RGB image; the suffix chooses the format.

    Raises:
        ValueError: if the suffix is of no format that can be written. Names it.
        OSError: if the file cannot be written. Names it.
    """
    path = Path(path)
    if not path.suffix or not cv2.haveImageWriter(path.name):
        raise ValueError(
            f"{path}: {path.suffix or 'no suffix'} is no kind of picture that can be "
            "written; name it .jpg, .png or .webp"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not cv2.imwrite, which returns False for every reason.
    path.write_bytes(cv2.imencode(path.suffix, image[..., ::-1])[1].tobytes())


def _scaled(found: Detections, scale: float, size: tuple[int, int]) -> Detections:
    """The detections on the image resized to `size`, height and width."""
    found = found.replace(boxes=found.boxes * scale)
    if found.masks is not None:
        masks = np.zeros((len(found.masks), *size), np.uint8)
        for mask, bitmap in zip(masks, found.masks, strict=True):
            resized = np.asarray(bitmap, np.uint8)
            cv2.resize(resized, size[::-1], mask, interpolation=cv2.INTER_NEAREST)
        found = found.replace(masks=masks)
    if found.keypoints is not None:
        found = found.replace(keypoints=found.keypoints * scale)
    return found


def _pad(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    padding = (0, side - height), (0, side - width), (0, 0)
    return np.pad(image, padding, constant_values=255)
