"""The files of labels of a YOLO data set, as annotations in COCO's form."""

from collections.abc import Iterator, Sequence

from etils import epath

from fpn_jax.data.defects import Defect
from fpn_jax.data.formats.text_file import decoded_text, numbered_lines
from fpn_jax.data.formats.yolo_images import absolute_path, label_files, relative_name
from fpn_jax.data.formats.yolo_lines import LineForm, object_of_line


def labels_of(
    rows: Sequence[dict], form: LineForm, *, root: str, beside: str
) -> tuple[list[dict], list[Defect]]:
    """The annotations of all images; defects of files and lines, and notes.

    Args:
        rows: of the images, in COCO's form.
        form: of the lines.
        root: the absolute path that the images are relative to.
        beside: the absolute path that messages name files relative to.
    """
    objects, defects, places = [], [], []
    folders: dict[str, list[str]] = {}
    owners: dict[str, str] = {}  # the first image of each file of labels
    unsized: list[str] = []  # images whose objects have no place in pixels
    for row in rows:
        image = row["file_name"]
        places = list(label_files(absolute_path(root, image), folders))
        place, data, problem = _first_there(places)
        shown = relative_name(place, beside)
        if problem:
            defects.append(Defect("file unreadable", shown, problem, image))
        if not place:
            continue
        # Images of one stem share their labels.
        owner = owners.setdefault(place, image)
        further = "" if owner == image else f" for {image}"
        if row["height"] is None:
            unsized += [image] if data.strip() else []
            continue
        for line, thing in _lines(data, shown, row, form):
            if isinstance(thing, dict):
                own = {"id": f"{line}{further}", "image_id": row["id"]}
                objects.append(own | thing)
            else:
                defects.append(Defect("line wrong", line, thing, image))
    if rows and not owners:
        defects.append(_no_labels(len(rows), places[0]))
    if unsized:
        defects.append(_not_counted(unsized))
    return objects, defects


def _first_there(places: Sequence[str]) -> tuple[str, bytes, str]:
    """The first place that is a file, its content, and why it cannot be read."""
    for place in places:
        try:
            return place, epath.Path(place).read_bytes(), ""
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            return place, b"", error.strerror or str(error)
    return "", b"", ""


def _lines(
    data: bytes, file: str, image: dict, form: LineForm
) -> Iterator[tuple[str, dict | str]]:
    """Yields the place of each line with its object, or with its problem."""
    try:
        lines = list(numbered_lines(decoded_text(data, file)))
    except ValueError as error:
        yield file, str(error).removeprefix(f"{file}: ")
        return
    for number, line in lines:
        try:
            thing = object_of_line(line, (image["height"], image["width"]), form)
        except ValueError as error:
            thing = str(error)
        yield f"line {number} of {file}", thing


def _no_labels(num_images: int, place: str) -> Defect:
    reason = (
        f"none of {num_images} has a file of labels; the last looked for is {place}"
    )
    return Defect("no labels", "images", reason, note=True)


def _not_counted(images: Sequence[str]) -> Defect:
    reason = (
        f"the objects of {len(images)} have no size in pixels, since these are "
        f"unreadable, and no figure counts them: the first is {images[0]}"
    )
    return Defect("objects not counted", "images", reason, note=True)
