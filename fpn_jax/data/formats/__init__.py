"""Forms in which a data set may be stored; one file each.

A form is two functions, which `fpn_jax.data.sources` has in a table:

- `is_x(path, split) -> bool`: whether the data set at `path` has this form. Only files'
  names are looked at, and most forms are told without the split.
- `open_x(path, split, *, masks, keypoints, strict) -> Source`: the examples of a split,
  with boxes xyxy in pixels and labels 0 … K-1, whatever the files have. ValueError for
  masks that the form does not have; masks are decoded only where they are asked for.
  `keypoints` chooses between two annotations of COCO; other forms give the keypoints
  that they have. Defects of the annotations are a ValueError that names the first
  ones, before an image is read; without `strict` they are left out, and the source
  lists them as `defects`. Facts that a person should know and that stop no run are
  notes among these, and `strict` logs them.

Most are brought into the form of a COCO annotation file first (`AnnotatedImages`).
The row of an image may say `upright`: True where a photograph was annotated as EXIF
turns it, False where nothing says so and the stored rows are taken; without it the
stated size decides (`orientation.py`). An image of another size than stated is
unreadable when its turn comes. Objects of unreadable images are kept, to be missed, if
they have a place in pixels, which objects of YOLO lack if the file gives no size.

All texts are read by `text_file.py`, files of systems and tools are told by
`clutter.py`, names of images are looked for by `file_names.py`, and corners of boxes
are read by `corners.py`. Errors and defects say in the words of a file, and once, in
which of its lines something is wrong.

Paths may be remote, as etils' epath reads them, except for TFDS. To add a form:
its file, and a line in the table.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.data.formats.coco import is_coco, open_coco
    from fpn_jax.data.formats.csv_table import is_csv, open_csv
    from fpn_jax.data.formats.published_coco import (
        is_published_coco,
        open_published_coco,
    )
    from fpn_jax.data.formats.splits import NoSuchSplit
    from fpn_jax.data.formats.tfds import TfdsSource, is_tfds, open_tfds
    from fpn_jax.data.formats.tfds_writer import write_tfds
    from fpn_jax.data.formats.voc import is_voc, open_voc
    from fpn_jax.data.formats.yolo import is_yolo, open_yolo

__all__ = [
    "NoSuchSplit",
    "TfdsSource",
    "is_coco",
    "is_csv",
    "is_published_coco",
    "is_tfds",
    "is_voc",
    "is_yolo",
    "open_coco",
    "open_csv",
    "open_published_coco",
    "open_tfds",
    "open_voc",
    "open_yolo",
    "write_tfds",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.data.formats.coco": ("is_coco", "open_coco"),
        "fpn_jax.data.formats.csv_table": ("is_csv", "open_csv"),
        "fpn_jax.data.formats.published_coco": (
            "is_published_coco",
            "open_published_coco",
        ),
        "fpn_jax.data.formats.splits": ("NoSuchSplit",),
        "fpn_jax.data.formats.tfds": ("TfdsSource", "is_tfds", "open_tfds"),
        "fpn_jax.data.formats.tfds_writer": ("write_tfds",),
        "fpn_jax.data.formats.voc": ("is_voc", "open_voc"),
        "fpn_jax.data.formats.yolo": ("is_yolo", "open_yolo"),
    },
)
