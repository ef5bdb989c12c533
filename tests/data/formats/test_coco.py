import copy
import json
import logging
import math

import cv2
import numpy as np
import pytest
from PIL import Image

from fpn_jax.data.batching import Batching
from fpn_jax.data.bitmaps import encode_rle
from fpn_jax.data.example import KeypointSpec, Turn, UnreadableImage
from fpn_jax.data.formats.coco import open_coco_file
from fpn_jax.data.formats.tfds import TfdsSource
from fpn_jax.data.loader import Changes, training_batches
from fpn_jax.data.sources import decodable
from fpn_jax.data.transforms import FitCanvas
from tests.support.coco_folder import write_coco_folder

# Ids are out of order and have gaps, as in COCO itself.
CONTENT = {
    "images": [
        {"id": 30, "file_name": "a.png", "height": 40, "width": 60},
        {"id": 10, "file_name": "empty.png", "height": 20, "width": 20},
    ],
    "categories": [{"id": 90, "name": "brush"}, {"id": 1, "name": "person"}],
    "annotations": [
        {
            **{"id": 5, "image_id": 30, "category_id": 90, "bbox": [10, 5, 20, 30]},
            **{"area": 333.5, "iscrowd": 0},
        },
        {
            **{"id": 4, "image_id": 30, "category_id": 1, "bbox": [0.5, 0, 5, 4]},
            **{"iscrowd": 1},
        },
    ],
}


def _write(folder, content):
    (folder / "annotations.json").write_text(json.dumps(content))
    for name, shape in {"a.png": (40, 60, 3), "empty.png": (20, 20, 3)}.items():
        cv2.imwrite(str(folder / name), np.full(shape, 7, np.uint8))
    return folder


@pytest.fixture
def folder(tmp_path):
    return _write(tmp_path, CONTENT)


def _with_annotation(**changes):
    content = copy.deepcopy(CONTENT)
    content["annotations"][0].update(changes)
    return content


def test_a_file_is_read_by_hand(folder):
    example = open_coco_file(folder)[0]
    assert (example.image_id, example.name) == (30, "a.png")
    assert example.image.shape == (40, 60, 3)
    assert example.boxes.tolist() == [[10, 5, 30, 35], [0.5, 0, 5.5, 4]]
    assert example.labels.tolist() == [1, 0]
    assert example.crowd.tolist() == [False, True]
    assert example.areas.tolist() == [333.5, 20]  # the second has none in the file


def test_labels_follow_the_order_of_category_ids(folder):
    assert open_coco_file(folder).categories == ((1, "person"), (90, "brush"))


def test_an_image_without_objects_is_kept(folder):
    source = open_coco_file(folder / "annotations.json", images=folder)
    assert len(source) == 2
    assert source[1].boxes.shape == (0, 4)


def test_boxes_that_reach_out_are_cut_with_one_warning(tmp_path, caplog):
    content = _with_annotation(bbox=[-3, 5, 70, 30])
    with caplog.at_level(logging.WARNING):
        source = open_coco_file(_write(tmp_path, content))
    assert source[0].boxes[0].tolist() == [0, 5, 60, 35]
    (record,) = caplog.records
    assert "1 boxes reach out" in record.message and "annotation 5" in record.message


@pytest.mark.parametrize(
    ("box", "reported"),
    [
        ([-0.5, -0.5, 61, 41], False),  # half a pixel on each side of 60 x 40
        ([-0.6, 0, 60, 40], True),
        ([0, 0, 60.6, 40], True),
        ([0, 0, 60, 40.6], True),
    ],
)
def test_half_a_pixel_is_rounding(tmp_path, box, reported):
    folder = _write(tmp_path, _with_annotation(bbox=box))
    source = open_coco_file(folder, strict=False)
    assert [one.kind for one in source.defects] == ["box reaches out"] * reported
    assert source[0].boxes[0].tolist() == [0, 0, 60, 40] or reported
    assert source.truth(0).xywh[0].tolist() == box


@pytest.mark.parametrize(
    ("field", "where", "part"),
    [("image_id", "", "images"), ("category_id", r" \(a\.png\)", "categories")],
)
def test_what_is_not_listed_is_said_once(tmp_path, field, where, part):
    content = copy.deepcopy(CONTENT)
    row = {"image_id": 30, "category_id": 1, "bbox": [1, 1, 2, 2], field: 31}
    content["annotations"] += [{"id": number, **row} for number in (11, 12, 13)]
    message = (
        f"1 problems: annotation 11{where}: {field} 31 is not in {part} "
        r"\(2 more annotations have it\)$"
    )
    with pytest.raises(ValueError, match=message):
        open_coco_file(_write(tmp_path, content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [30, 5, -20, 30]}, "annotation 5 .a.png.: bbox .* sizes >= 0"),
        ({"bbox": [0, 0, 4]}, "annotation 5 .a.png.: bbox .* four finite numbers"),
        ({"bbox": [0, 0, float("nan"), 4]}, "four finite numbers"),
        ({"bbox": [0, 0, "4", 4]}, "four finite numbers"),
        ({"bbox": None}, "four finite numbers"),
        ({"bbox": [61, 0, 5, 5]}, "annotation 5 .a.png.: bbox .* outside of 60 x 40"),
        ({"bbox": [-9, 0, 5, 5]}, "outside of 60 x 40"),
        ({"category_id": 2}, "annotation 5 .a.png.: category_id 2 is not in categor"),
        ({"image_id": 31}, "annotation 5: image_id 31 is not in images"),
        ({"id": 4}, "id 4: repeated in annotations"),
    ],
)
def test_a_wrong_annotation_is_named_in_one_line(tmp_path, changes, message):
    folder = _write(tmp_path, _with_annotation(**changes))
    pattern = rf"^[^\n]*annotations\.json: 1 problems: [^\n]*{message}[^\n]*$"
    with pytest.raises(ValueError, match=pattern):
        open_coco_file(folder)


@pytest.mark.parametrize("side", [None, 0, "absent"])
def test_a_size_that_the_file_does_not_say_is_that_of_the_image(tmp_path, side):
    content = copy.deepcopy(CONTENT)
    content["images"][0]["height"] = side
    if side == "absent":
        del content["images"][0]["height"], content["images"][0]["width"]
    source = open_coco_file(_write(tmp_path, content))
    assert source[0].boxes[0].tolist() == [10, 5, 30, 35]
    assert source.image_sizes.tolist() == [[40, 60], [20, 20]]


def test_objects_of_an_image_without_any_size_are_kept_for_the_figures(tmp_path):
    content = copy.deepcopy(CONTENT)
    content["images"][0] |= {"height": None, "width": None}
    (_write(tmp_path, content) / "a.png").write_bytes(b"broken")
    source = open_coco_file(tmp_path)
    assert source.truth(0).xywh.tolist() == [[10, 5, 20, 30], [0.5, 0, 5, 4]]
    with pytest.raises(UnreadableImage):
        source[0]


@pytest.mark.parametrize("height", [40, 40.0, "40", "40.0"])
def test_a_side_is_a_whole_number_however_it_is_written(tmp_path, height):
    content = copy.deepcopy(CONTENT)
    content["images"][0]["height"] = height
    assert open_coco_file(_write(tmp_path, content))[0].size == (40, 60)


@pytest.mark.parametrize("height", [40.5, -40, "forty", True, 2**31, [40], math.nan])
def test_a_wrong_side_is_one_defect_whatever_the_image_holds(tmp_path, height):
    content = copy.deepcopy(CONTENT)
    content["images"][0]["height"] = height
    _write(tmp_path, content)
    message = (
        r"1 problems: images\[0\] \(a\.png\): height is [^\n]*, must be a whole number "
        "of pixels above 0; left out with its 2 annotations$"
    )
    with pytest.raises(ValueError, match=message):
        open_coco_file(tmp_path)
    source = open_coco_file(tmp_path, strict=False)
    assert len(source.defects) == 1 and len(source) == 1


def test_all_problems_are_counted(tmp_path):
    content = copy.deepcopy(CONTENT)
    bad = {"image_id": 30, "category_id": 1, "bbox": [0, 0, -1, 1]}
    content["annotations"] = [{"id": number, **bad} for number in range(7)]
    with pytest.raises(
        ValueError, match="7 problems: annotation 0 .*annotation 2 .*…$"
    ):
        open_coco_file(_write(tmp_path, content))


@pytest.mark.parametrize("part", ["images", "categories", "annotations"])
def test_a_missing_part_or_field_is_named(tmp_path, part):
    content = copy.deepcopy(CONTENT)
    del content[part][1]["id"]
    with pytest.raises(ValueError, match=rf"{part}\[1\][^:]*: no 'id'"):
        open_coco_file(_write(tmp_path, content))
    del content[part]
    with pytest.raises(ValueError, match=f"no list '{part}'"):
        open_coco_file(_write(tmp_path, content))


def test_repeated_images_and_categories_are_named(tmp_path):
    content = copy.deepcopy(CONTENT)
    content["images"].append(content["images"][0])
    content["categories"].append(content["categories"][0])
    with pytest.raises(ValueError, match="id 30: .* images; id 90: .* categories"):
        open_coco_file(_write(tmp_path, content))


def test_files_that_are_missing_or_no_json_are_named(folder):
    with pytest.raises(ValueError, match=r"other\.json: No such file"):
        open_coco_file(folder / "other.json")
    with pytest.raises(ValueError, match="^images: .*nowhere is not a folder"):
        open_coco_file(folder, images=folder / "nowhere")
    (folder / "annotations.json").write_text("{")
    with pytest.raises(ValueError, match=r"^[^\n]*annotations\.json: not JSON[^\n]*$"):
        open_coco_file(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"é": 1}'.encode("latin-1"), "byte 2 is no UTF-8; it may be Latin-1"),
        (b"[" * 100_000, "lists in lists"),
        (b'{"images": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "not a COCO annotation file, no list 'images'"),
        (b" \n", r"not JSON \(empty\)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    ],
)
def test_a_file_of_another_kind_is_one_line(folder, content, message):
    (folder / "annotations.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"^[^\n]*annotations\.json: [^\n]*{message}"):
        open_coco_file(folder)


def test_a_byte_order_mark_is_no_part_of_the_content(folder):
    file = folder / "annotations.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(open_coco_file(folder)) == 2


def test_an_image_that_is_missing_or_broken_is_unreadable_and_named(folder):
    source = open_coco_file(folder)
    (folder / "a.png").write_bytes(b"broken")
    with pytest.raises(UnreadableImage, match=r"a\.png: not a readable image"):
        source[0]
    (folder / "a.png").unlink()
    with pytest.raises(UnreadableImage, match=r"a\.png: No such file"):
        source[0]


def test_images_that_are_all_missing_are_said_in_one_line(folder, caplog):
    for file in ("a.png", "empty.png"):
        (folder / file).unlink()
    (note,) = open_coco_file(folder).defects
    assert str(note) == f"images: none of 2 is in {folder}; the first: a.png"
    assert note.note and str(note) in caplog.text


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("annotations.json", "images"),
        ("result.json", "."),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_default.json", "images/default"),
        ("annotations/train.json", "images"),
        ("annotations/train.json", "."),
    ],
)
def test_images_are_found_where_tools_put_them(folder, file, images):
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / "annotations.json").rename(folder / file)
    (folder / images).mkdir(parents=True, exist_ok=True)
    for image in ("a.png", "empty.png"):
        (folder / image).rename(folder / images / image)
    assert [one.size for one in open_coco_file(folder / file)] == [(40, 60), (20, 20)]


def _write_photographs(folder, sizes, stated=(40, 60), **options):
    """Photographs of these heights and widths, all stated to have one size."""
    rows = []
    for number, (height, width) in enumerate(sizes, start=1):
        name = f"{number}.jpg"
        Image.new("RGB", (width, height)).save(folder / name, **options)
        size = {"height": stated[0], "width": stated[1]}
        rows.append({"id": number, "file_name": name, **size})
    content = {"images": rows, "categories": [{"id": 1, "name": "thing"}]}
    content["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 5, 20, 30]}
    ]
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_an_image_of_another_size_than_stated_is_unreadable_and_named(tmp_path):
    source = open_coco_file(_write_photographs(tmp_path, [(40, 60)] * 2 + [(60, 40)]))
    assert len(list(decodable(source))) == 2
    message = r"3\.jpg: the file is 40 x 60 pixels, .*annotations\.json says 60 x 40$"
    with pytest.raises(UnreadableImage, match=message):
        source[2]


def test_a_training_goes_on_after_an_image_of_another_size(tmp_path, caplog):
    source = open_coco_file(_write_photographs(tmp_path, [(40, 60)] * 4 + [(20, 30)]))
    batching = Batching(batch_size=5, canvas=(64, 64), max_boxes=2, max_errors=1)
    batches = training_batches(
        source, batching, changes=Changes((FitCanvas((64, 64)),)), seed=0
    )
    for _ in range(3):  # epochs
        assert next(batches)["images"].shape == (5, 64, 64, 3)
    batches.close()
    (line,) = [record.message for record in caplog.records]
    assert "Skipped image 1" in line and "5.jpg: the file is 30 x 20" in line


def test_annotations_of_images_that_were_resized_are_refused_at_the_start(tmp_path):
    sizes = [(40, 60)] + [(20, 30)] * 3
    message = (
        r"^[^\n]*annotations\.json: 3 of 4 images that were looked at have another "
        r"size than stated; the first: [^\n]*2\.jpg is 30 x 20, not 60 x 40$"
    )
    with pytest.raises(ValueError, match=message):
        open_coco_file(_write_photographs(tmp_path, sizes))
    assert len(open_coco_file(tmp_path, strict=False)) == 4  # for the doctor


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize(
    ("stored", "orientation", "turn"),
    [
        ((40, 60), 6, Turn(6, applied=False, sure=True)),
        ((60, 40), 6, Turn(6, applied=True, sure=True)),
        ((60, 40), 8, Turn(8, applied=True, sure=True)),
        ((40, 60), 3, Turn(3, applied=False, sure=False)),
        ((40, 60), 1, Turn()),
    ],
)
def test_the_stated_size_says_whether_a_photograph_is_turned(
    tmp_path, stored, orientation, turn
):
    folder = _write_photographs(tmp_path, [stored], exif=_exif(orientation))
    example = open_coco_file(folder)[0]
    assert example.turn == turn
    assert example.image.shape == (40, 60, 3)
    assert example.boxes.tolist() == [[10, 5, 30, 35]]


def test_a_file_without_masks_and_keypoints_gives_none(folder):
    source = open_coco_file(folder)
    assert source.keypoint_spec is None
    assert source[0].masks is None and source[0].keypoints is None
    with pytest.raises(
        ValueError, match="2 problems: annotation 5 .a.png.: no segmenta"
    ):
        open_coco_file(folder, masks=True)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_digits_are_the_same_from_both_kinds_of_files(
    digits_directory, tmp_path, split
):
    digits = TfdsSource(digits_directory, split, masks=True)
    write_coco_folder(tmp_path, digits, digits.categories)
    source = open_coco_file(tmp_path, masks=True)
    assert len(source) == len(digits) and source.categories == digits.categories
    assert source.keypoint_spec == digits.keypoint_spec._replace(sigmas=None)
    for left, right in zip(source, digits, strict=True):
        assert left.image_id == right.image_id
        fields = ("image", "boxes", "labels", "crowd", "areas", "masks", "keypoints")
        for field in fields:
            np.testing.assert_array_equal(getattr(left, field), getattr(right, field))


SQUARE = [[10, 5, 14, 5, 14, 9, 10, 9]]


def _with_masks(segmentation):
    content = _with_annotation(segmentation=segmentation)
    # A crowd region, as COCO has them: the first four columns of 40 pixels.
    rle = {"size": [40, 60], "counts": [0, 160, 2240]}
    content["annotations"][1]["segmentation"] = rle
    return content


def test_masks_by_hand(tmp_path):
    source = open_coco_file(_write(tmp_path, _with_masks(SQUARE)), masks=True)
    masks = source[0].masks
    assert masks.shape == (2, 40, 60)
    assert masks[0, 5:9, 10:14].all() and masks[0].sum() == 16
    assert masks[1, :, :4].all() and masks[1].sum() == 160
    assert source[1].masks.shape == (0, 20, 20)
    assert open_coco_file(tmp_path)[0].masks is None


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "must be polygons or a run-length encoding"),
        ([[10, 5, 14, 5]], "polygon of 4 numbers"),
        ([[10, 5, 14, 5, None, 9]], "must be a list of numbers"),
        ({"size": [60, 40], "counts": "abc"}, r"size \[60, 40\] must be the image's"),
        ({"size": [40, 60], "counts": [7]}, "counts add up to 7, must be 40 x 60"),
    ],
)
def test_a_wrong_segmentation_is_named_before_any_image_is_read(
    tmp_path, segmentation, message
):
    folder = _write(tmp_path, _with_masks(segmentation))
    open_coco_file(folder)  # boxes do not need it
    pattern = rf"1 problems: annotation 5 \(a\.png\): segmentation: [^\n]*{message}"
    with pytest.raises(ValueError, match=pattern):
        open_coco_file(folder, masks=True)


def test_broken_counts_are_one_object_that_is_lost(tmp_path):
    broken = {"size": [40, 60], "counts": ";2"}
    folder = _write(tmp_path, _with_masks(broken))
    message = r"1 problems: annotation 5 \(a\.png\): segmentation: counts add up to 13"
    with pytest.raises(ValueError, match=message):
        open_coco_file(folder, masks=True)
    source = open_coco_file(folder, masks=True, strict=False)
    assert [defect.place for defect in source.defects] == ["annotation 5"]
    assert source[0].masks.sum(axis=(1, 2)).tolist() == [160]


def test_a_run_length_encoding_may_have_its_size_as_floats(tmp_path):
    runs = encode_rle(np.ones((40, 60), np.bool_)) | {"size": [40.0, 60.0]}
    source = open_coco_file(_write(tmp_path, _with_masks(runs)), masks=True)
    assert source[0].masks[0].all()


def test_an_area_that_is_not_there_is_the_masks(tmp_path):
    triangle = [[10, 5, 30, 5, 10, 25]]
    content = _with_masks(triangle)
    content["annotations"][0]["area"] = None
    source = open_coco_file(_write(tmp_path, content), masks=True)
    # Half of 20 x 20 pixels and about half of the diagonal; 4 columns of 40.
    areas = source[0].areas.tolist()
    assert areas == source[0].masks.sum(axis=(1, 2)).tolist() and areas[1] == 160
    assert abs(areas[0] - 200) <= 10
    assert source.truth(0).areas.tolist() == areas
    # Boxes have no other area than their own.
    assert open_coco_file(tmp_path)[0].areas.tolist() == [600, 20]


NAMES = ["nose", "left_eye", "right_eye"]


def _with_keypoints(points):
    content = _with_annotation(keypoints=points)
    content["categories"][0] |= {"keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}
    return content


def test_keypoints_by_hand(tmp_path):
    points = [12, 7, 2, 0, 0, 0, 20.5, 9, 1]
    source = open_coco_file(_write(tmp_path, _with_keypoints(points)))
    assert source.keypoint_spec == KeypointSpec(
        names=("nose", "left_eye", "right_eye"),
        flip=(0, 2, 1),
        skeleton=((0, 1), (0, 2)),
    )
    keypoints = source[0].keypoints
    assert keypoints[0].tolist() == [[12, 7, 2], [0, 0, 0], [20.5, 9, 1]]
    assert not keypoints[1].any()  # an annotation without
    assert source[1].keypoints.shape == (0, 3, 3)


@pytest.mark.parametrize(
    "points",
    [
        7,
        "12, 7, 2",
        [12, 7, 2],
        [12, 7, 2] * 4,
        [12, 7, 3] * 3,
        [float("nan"), 7, 2] * 3,
        ["12", 7, 2] * 3,
    ],
)
def test_wrong_keypoints_are_named_in_one_line(tmp_path, points):
    folder = _write(tmp_path, _with_keypoints(points))
    pattern = r"annotation 5 \(a\.png\): keypoints [^\n]* must be 3 times x, y and 0"
    with pytest.raises(ValueError, match=pattern):
        open_coco_file(folder)


@pytest.mark.parametrize("points", [None, []])
def test_an_object_may_have_no_keypoints(tmp_path, points):
    source = open_coco_file(_write(tmp_path, _with_keypoints(points)))
    assert not source[0].keypoints.any()


@pytest.mark.parametrize("names", ["nose,tail", 7, {"nose": 1}, ["nose", None], [1, 2]])
def test_keypoints_that_are_no_list_of_names_are_one_line(tmp_path, names):
    content = copy.deepcopy(CONTENT)
    content["categories"][0]["keypoints"] = names
    message = r"^[^\n]*keypoints [^\n]* of category 'brush' must be a list of names$"
    with pytest.raises(ValueError, match=message):
        open_coco_file(_write(tmp_path, content))


@pytest.mark.parametrize("skeleton", [None, [], "absent"])
def test_a_skeleton_may_be_absent(tmp_path, skeleton):
    content = _with_keypoints([0] * 9)
    content["categories"][0]["skeleton"] = skeleton
    if skeleton == "absent":
        del content["categories"][0]["skeleton"]
    assert open_coco_file(_write(tmp_path, content)).keypoint_spec.skeleton == ()


@pytest.mark.parametrize("skeleton", [7, "1-2", [7], [[1]], [["1", "2"]], [[1, [2]]]])
def test_a_skeleton_that_is_no_pairs_is_one_line(tmp_path, skeleton):
    content = _with_keypoints([0] * 9)
    content["categories"][0]["skeleton"] = skeleton
    with pytest.raises(ValueError, match="^[^\n]*must be pairs of 1 … 3$"):
        open_coco_file(_write(tmp_path, content))


def test_categories_must_agree_on_their_keypoints(tmp_path):
    content = _with_keypoints([0] * 9)
    content["categories"][1]["keypoints"] = ["tail"]
    with pytest.raises(ValueError, match="'person' and 'brush' have different keypoi"):
        open_coco_file(_write(tmp_path, content))


def test_a_skeleton_of_unknown_points_is_an_error(tmp_path):
    content = _with_keypoints([0] * 9)
    content["categories"][0]["skeleton"] = [[1, 2], [0, 3]]
    with pytest.raises(ValueError, match=r"skeleton .* must be pairs of 1 … 3$"):
        open_coco_file(_write(tmp_path, content))
