"""A source by one word: the embedded digits, or where a data set lies."""

from collections.abc import Iterator

from etils import epath

from fpn_jax.data.digits.dataset import prepare_digits
from fpn_jax.data.example import Example, Source, UnreadableImage
from fpn_jax.data.formats.coco import (
    annotation_folders,
    coco_source,
    is_coco,
    official_source,
)
from fpn_jax.data.formats.csv_table import csv_source, is_csv
from fpn_jax.data.formats.splits import NoSuchSplit, names_of
from fpn_jax.data.formats.tfds import TfdsSource, is_tfds
from fpn_jax.data.formats.voc import is_voc, voc_source
from fpn_jax.data.formats.yolo import yolo_source


def open_source(
    name: str,
    split: str,
    *,
    masks: bool = False,
    keypoints: bool = False,
    strict: bool = True,
) -> Source:
    """Returns a split of the source called `name`, which is one of

    - "digits";
    - a prepared TFDS directory (`dataset_info.json`) of coco, voc or the like;
    - a folder of COCO as it is published, with `annotations` or its zip archives;
    - a COCO folder (`annotations.json` and the images), which is one split, or a COCO
      annotation file;
    - a YOLO data set: its YAML file, or the folder that holds it as `data.yaml`;
    - a folder of Pascal VOC (`Annotations`, `ImageSets`, `JPEGImages`), or of XML files
      and images in a folder for each split;
    - a folder of tables, `SPLIT.csv`;
    - a folder in which `split` is a COCO folder.

    But for TFDS, which reads array_record files itself, it may lie where epath reads:
    `gs://bucket/coco` with the package gcsfs, `s3://…` with s3fs.

    Args:
        split: as the data set calls it; validation may be `val` or `valid` there.
        masks: whether examples have masks, which takes time.
        keypoints: whether COCO's annotations of persons are wanted; others always have
            the keypoints that they have.
        strict: whether defects of annotations are errors; if not, what has one is left
            out, and the source lists them as its `defects`.
    """
    if name == "digits":
        return TfdsSource(prepare_digits(), split, masks=masks)
    root = epath.Path(name).expanduser()
    try:
        prepared = is_tfds(root)
    except ImportError as error:  # gcsfs, s3fs …
        raise ValueError(f"data source {name!r}: {error}") from error
    if prepared:
        return TfdsSource(root, split, masks=masks)
    for folder in (root, *(root / one for one in names_of(split))):
        if is_coco(folder):
            return coco_source(folder, masks=masks, strict=strict)
    for file in (root, root / "data.yaml"):
        if file.suffix in (".yaml", ".yml") and file.is_file():
            return yolo_source(file, split, masks=masks, strict=strict)
    if annotation_folders(root):
        return official_source(
            root, split, masks=masks, keypoints=keypoints, strict=strict
        )
    for is_one, source in ((is_voc, voc_source), (is_csv, csv_source)):
        if is_one(root):
            if masks:
                raise ValueError(f"masks: {name} has boxes only")
            return source(root, split, strict=strict)
    raise NoSuchSplit(
        f"data source {name!r} is neither 'digits' nor a directory with "
        "dataset_info.json (TFDS), annotations or annotations.json (COCO), data.yaml "
        f"(YOLO), Annotations (Pascal VOC) or {split}.csv"
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
