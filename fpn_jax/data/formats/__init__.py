"""Kinds of files that a data set may come in, each as a source.

A format says whether a path is of its kind (`is_coco`, `is_csv` …) and opens a split of
it as a `Source`: boxes xyxy in pixels, labels 0 … K-1, whatever its files have. What is
wrong in the annotations is a ValueError with the first defects, before an image is
read; with `strict=False` it is left out and listed as the source's `defects`. Masks are
decoded only where they are asked for. Paths may be remote, as etils' epath reads them;
those of TFDS are local.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.data.formats.coco import coco_source, is_coco, official_source
    from fpn_jax.data.formats.csv_table import csv_source, is_csv
    from fpn_jax.data.formats.splits import NoSuchSplit
    from fpn_jax.data.formats.tfds import TfdsSource, is_tfds
    from fpn_jax.data.formats.tfds_writer import write_tfds
    from fpn_jax.data.formats.voc import is_voc, voc_source
    from fpn_jax.data.formats.yolo import yolo_source

__all__ = [
    "NoSuchSplit",
    "TfdsSource",
    "coco_source",
    "csv_source",
    "is_coco",
    "is_csv",
    "is_tfds",
    "is_voc",
    "official_source",
    "voc_source",
    "write_tfds",
    "yolo_source",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.data.formats.coco": ("coco_source", "is_coco", "official_source"),
        "fpn_jax.data.formats.csv_table": ("csv_source", "is_csv"),
        "fpn_jax.data.formats.splits": ("NoSuchSplit",),
        "fpn_jax.data.formats.tfds": ("TfdsSource", "is_tfds"),
        "fpn_jax.data.formats.tfds_writer": ("write_tfds",),
        "fpn_jax.data.formats.voc": ("is_voc", "voc_source"),
        "fpn_jax.data.formats.yolo": ("yolo_source",),
    },
)
