"""Pictures of examples and of their defects, added to an HTML page."""

import base64
import html
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from fpn_jax.data.defects import Defect
from fpn_jax.data.example import Example
from fpn_jax.examination.examine import Examination
from fpn_jax.visualize.drawing import draw_boxes, draw_masks, draw_truth

Section = tuple[str, list[tuple[str, np.ndarray]]]  # a title, captions and RGB images

_PICTURES = 6  # of each kind of defect
_SIDE = 280  # pixels of a picture's longer side
_STYLE = """<style>
body { font-family: sans-serif; margin: 1.5em }
figure { display: inline-block; vertical-align: top; margin: 0.5em }
figcaption { font-size: small; max-width: 280px; overflow-wrap: break-word }
</style>"""


def with_pictures(page: str, sections: Sequence[Section]) -> str:
    """Returns the HTML page, as rich exports it, with the sections at its end."""
    added = "".join(
        f"<h2>{html.escape(title)}</h2>" + "".join(map(_figure, pictures))
        for title, pictures in sections
        if pictures
    )
    return page.replace("</body>", f"{_STYLE}{added}</body>")


def defect_sections(
    splits: Mapping[str, Examination], defects: Sequence[tuple[str, Defect]]
) -> list[Section]:
    """Returns a section for each kind of defect, with the first six that have an image.

    All boxes are drawn, that of the defect dashed. Images that cannot be read have no
    picture.
    """
    places = {
        (name, one.name): one.index
        for name, each in splits.items()
        for one in each.seen
    }
    sections = {}
    for split, defect in defects:
        pictures = sections.setdefault(defect.kind, [])
        if (split, defect.file) in places and len(pictures) < _PICTURES:
            source = splits[split].source
            example = source[places[split, defect.file]]
            box = () if defect.box is None else (defect.box,)
            names = [category.name for category in source.categories]
            pictures.append(
                (f"{split}: {defect}", example_picture(example, names, box))
            )
    return list(sections.items())


def example_picture(
    example: Example, names: Sequence[str], dashed: Sequence[tuple[float, ...]] = ()
) -> np.ndarray:
    """Returns the image, small, with the objects' masks and boxes and their classes."""
    scale = _SIDE / max(example.image.shape[:2])
    size = [max(round(side * scale), 1) for side in example.image.shape[1::-1]]
    picture = cv2.resize(example.image, size, interpolation=cv2.INTER_AREA)
    if example.masks is not None:
        masks = [
            cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            for mask in example.masks
        ]
        stacked = np.array(masks, np.uint8).reshape(-1, *picture.shape[:2])
        picture = draw_masks(picture, stacked, labels=example.labels)
    picture = draw_boxes(
        picture, example.boxes * scale, labels=example.labels, names=names
    )
    corners = np.reshape(dashed, (-1, 2, 2))
    ordered = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    near = np.clip(ordered * scale, -_SIDE, 2 * _SIDE)  # dashes take time
    return draw_truth(picture, near)


def _figure(picture: tuple[str, np.ndarray]) -> str:
    caption, image = picture
    _, data = cv2.imencode(".jpg", image[..., ::-1])
    source = f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
    text = html.escape(caption)
    return f'<figure><img src="{source}"><figcaption>{text}</figcaption></figure>'
