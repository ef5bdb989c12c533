"""COCO as it is published: annotations of every split and year in one place."""

import re

from etils import epath

from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.coco import load_annotations
from fpn_jax.data.formats.folder import Archive, Folder, open_folder
from fpn_jax.data.formats.splits import find_split


def is_published_coco(path: epath.PathLike, split: str) -> bool:
    """Whether a folder has `annotations` or archives of them, with files of JSON.

    File systems of macOS and Windows take Pascal VOC's `Annotations` for the same name.
    """
    return any(
        name.endswith(".json")
        for folder in _annotation_folders(path)
        for name in folder.names()
    )


def open_published_coco(
    path: epath.PathLike,
    split: str,
    *,
    masks: bool = False,
    keypoints: bool = False,
    strict: bool = True,
) -> AnnotatedImages:
    """A split of COCO as it is published, unpacked or as the zip archives.

    Args:
        path: the folder with `annotations` and the images of each split, `train2017`,
            or with `annotations_trainval2017.zip`, `train2017.zip` and so on. The
            images may also be in a folder `images`, as other tools write them.
        split: `train` or `val`; of several years the last, or as in `train2014`.
        masks: whether examples have masks.
        keypoints: whether to read the annotations of persons with keypoints.
        strict: whether defects are errors.

    Raises:
        ValueError: if there is no such split, or annotations are wrong.
    """
    kind = "person_keypoints" if keypoints else "instances"
    pattern = re.compile(rf"{kind}_(\w+)\.json")
    found = {  # by split, and year where there is one
        match[1]: (folder, match[0])
        for folder in _annotation_folders(path)
        for name in folder.names()
        if (match := pattern.fullmatch(name))
    }
    if not found:
        others = sorted((epath.Path(path).expanduser() / "annotations").glob("*.json"))
        further = f"; {others[0]} may be given itself" if others else ""
        raise ValueError(f"{path}: no {kind}_*.json among the annotations{further}")
    by_name = {name.rstrip("0123456789"): name for name in sorted(found)}
    by_name |= {name: name for name in found}
    chosen = by_name[find_split(split, by_name)]
    folder, name = found[chosen]
    root = epath.Path(path).expanduser()
    places = (root / chosen, root / "images" / chosen, root / "images")
    images = next(filter(None, map(open_folder, places)), None)
    if images is None:
        raise ValueError(f"images: {path} has no {chosen} and no {chosen}.zip")
    content = load_annotations(folder, name)
    return AnnotatedImages(
        f"{folder}/{name}", content, images, masks=masks, strict=strict
    )


def _annotation_folders(root: epath.PathLike) -> list[Folder | Archive]:
    """Returns `annotations` and `annotations_*.zip` of a folder, where it has them."""
    root = epath.Path(root).expanduser()
    paths = [root / "annotations", *sorted(root.glob("annotations_*.zip"))]
    return [folder for path in paths if (folder := open_folder(path)) is not None]
