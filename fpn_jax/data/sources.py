"""A source by one word: the embedded digits, or the path of a data set."""

from collections.abc import Iterator

from etils import epath

from fpn_jax.data.digits.dataset import check_drawn, prepare_digits
from fpn_jax.data.example import Example, Source, Truth, UnreadableImage
from fpn_jax.data.formats.coco import is_coco, open_coco
from fpn_jax.data.formats.csv_table import is_csv, open_csv
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.published_coco import is_published_coco, open_published_coco
from fpn_jax.data.formats.splits import SPLITS, NoSuchSplit
from fpn_jax.data.formats.tfds import is_tfds, open_tfds
from fpn_jax.data.formats.voc import is_voc, open_voc
from fpn_jax.data.formats.yolo import is_yolo, open_yolo

_LOOKED_AT = 20  # entries of a folder that is no data set, for one that is

# The first form that fits is taken.
_FORMATS = (
    (is_tfds, open_tfds),
    (is_coco, open_coco),
    (is_yolo, open_yolo),
    (is_published_coco, open_published_coco),
    (is_voc, open_voc),
    (is_csv, open_csv),
)
# Files that are a data set by themselves.
_PARTS = {"annotations", "imagesets", "jpegimages", "images", "labels"}  # of a data set
_TABLES = (".yaml", ".yml", ".json")


def open_source(
    name: str,
    split: str,
    *,
    masks: bool = False,
    keypoints: bool = False,
    strict: bool = True,
) -> Source:
    """A split of the source called `name`, which is one of

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

    It may be a path that epath reads, `gs://bucket/coco` with the package gcsfs or
    `s3://…` with s3fs; but not of TFDS, which reads array_record files itself.

    Args:
        split: as the data set calls it; validation may be `val` or `valid` there.
        masks: whether examples have masks, which takes time.
        keypoints: whether COCO's annotations of persons are wanted; others always have
            the keypoints that they have.
        strict: whether defects of annotations are errors; if not, what has one is left
            out, and the source lists them as its `defects`.
    """
    if name == "digits":
        check_drawn(split)
    path = prepare_digits() if name == "digits" else name
    try:
        epath.Path(path)
    except KeyError:  # of the words before ://
        raise ValueError(
            f"data source {name!r}: expected a path, gs://… or s3://…; download it"
        ) from None
    try:
        form = next((open_it for fits, open_it in _FORMATS if fits(path, split)), None)
    except ImportError as error:  # gcsfs, s3fs …
        raise ValueError(f"data source {name!r}: {error}") from error
    if form is not None:
        return form(path, split, masks=masks, keypoints=keypoints, strict=strict)
    raise NoSuchSplit(_unknown(epath.Path(path).expanduser(), split))


def _unknown(path: epath.Path, split: str) -> str:
    """Says that a path is no data set, and what is at it or near it."""
    if not path.exists():
        return f"data source '{path}' is neither 'digits' nor a path that exists"
    return (
        f"data source '{path}' is neither 'digits' nor a directory with "
        "dataset_info.json (TFDS), annotations or annotations.json (COCO), data.yaml "
        f"(YOLO), Annotations (Pascal VOC) or {split}.csv{_hint(path, split)}"
    )


def _hint(path: epath.Path, split: str) -> str:
    """Says what is near or at a path that is no data set, as far as that helps."""
    is_part = path.is_dir() and path.name.lower() in _PARTS
    above = [path.parent, path.parent.parent][: 1 + is_part]
    for place in above if is_part or not path.is_dir() else ():
        if _is_data(place, split):
            return f"; nearest: '{place}'"
    if not path.is_dir():
        return "; it is a file of another kind"
    files = list(Folder(path).names())
    tables = [name for name in files if name.lower().endswith(_TABLES)]
    if tables:
        return f"; it has {tables[0]}: give {path / tables[0]}"
    if any(name.lower().endswith(".xml") for name in files):
        return f"; its XML files and their images must be in a folder, as {split}"
    if (path / "labels").is_dir() or {"classes.txt", "obj.names"} & set(files):
        return "; YOLO needs data.yaml, with names: [cat, dog] and train: images"
    for inner in sorted(path.iterdir())[:_LOOKED_AT]:
        if inner.is_dir() and _is_data(inner, split):
            if inner.name in SPLITS:
                return f"; it has the split {inner.name!r}, and no {split!r}"
            return f"; it has {inner.name}: give {inner}"
    return ""


def _is_data(path: epath.Path, split: str) -> bool:
    return any(fits(path, split) for fits, _ in _FORMATS)


def readable(source: Source) -> Iterator[Example | Truth]:
    """Yields what can be read of each image in order: the truth about its objects.

    That of an image that cannot be decoded is left out only where the source has no
    annotations beside the images.
    """
    for index in range(len(source)):
        try:
            yield source.truth(index)
        except UnreadableImage:
            pass


def decodable(source: Source) -> Iterator[Example]:
    """Yields the examples of a source in order, without those that are unreadable.

    It does not report them: the loader, which meets them too, counts and names them.
    """
    for index in range(len(source)):
        try:
            yield source[index]
        except UnreadableImage:
            pass
