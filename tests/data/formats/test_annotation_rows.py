"""Rows of annotation files as tools and people write them."""

import copy
import re

import pytest

from fpn_jax.data.formats.annotation_rows import sound_rows

IMAGE = {"id": 3, "file_name": "a.jpg", "height": 40, "width": 60}
CAT, DOG = {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}
BOX = {"bbox": [1, 2, 3, 4], "category_id": 1, "image_id": 3}
CONTENT = {
    "images": [IMAGE],
    "categories": [DOG, CAT],
    "annotations": [{"id": 7, **BOX}, {"id": 8, **BOX}],
}


def read(**changes):
    """Rows, and the texts of the defects."""
    defects = []
    rows = sound_rows("file", copy.deepcopy(CONTENT | changes), defects)
    return rows, list(map(str, defects))


def test_sound_rows_are_all_there_with_categories_by_their_ids():
    rows, defects = read()
    assert rows == ([IMAGE], [CAT, DOG], CONTENT["annotations"]) and defects == []


def test_rows_keep_fields_that_are_nobodys():
    rows, _ = read(images=[IMAGE | {"upright": True, "license": 4}])
    assert rows.images[0]["upright"] is True and rows.images[0]["license"] == 4


@pytest.mark.parametrize("number", [0, -1, 2**40, 2**63 - 1, -(2**63), 3.0, 1e15])
def test_ids_are_whole_numbers_of_64_bits(number):
    rows, defects = read(
        images=[IMAGE | {"id": number}],
        categories=[CAT | {"id": number}],
        annotations=[{**BOX, "id": 7, "image_id": number, "category_id": number}],
    )
    assert defects == []
    ids = rows.images[0]["id"], rows.categories[0]["id"], *rows.annotations[0].values()
    assert all(type(i) is int and i == number for i in ids[:2])
    assert type(rows.annotations[0]["image_id"]) is int


@pytest.mark.parametrize("number", ["0001", "a", 1.25, 2**63, 2**70, 1e300, True, None])
def test_an_image_without_such_an_id_is_one_defect_with_its_annotations(number):
    rows, defects = read(
        images=[IMAGE | {"id": number}],
        annotations=[{**row, "image_id": number} for row in CONTENT["annotations"]],
    )
    assert rows.images == []
    # No id at all cannot be told from that of another row.
    left_out = "" if number is None else "; left out with its 2 annotations"
    assert defects[0] == (
        f"images[0] (a.jpg): id is {number!r}, must be a whole number of 64 bits"
        + left_out
    )
    assert len(defects) == (3 if number is None else 1)


@pytest.mark.parametrize("number", ["1", 1.5, 2**63, False])
def test_a_class_without_such_an_id_is_one_defect_with_its_annotations(number):
    rows, defects = read(
        categories=[CAT | {"id": number}, DOG],
        annotations=[{**row, "category_id": number} for row in CONTENT["annotations"]],
    )
    assert rows.categories == [DOG] and rows.annotations == []
    (text,) = defects
    assert re.fullmatch(r"categories\[0\]: id is .*; left out with its 2 annot.*", text)


@pytest.mark.parametrize("field", ["image_id", "category_id"])
@pytest.mark.parametrize("value", ["3", [3], None, 1.5])
def test_an_annotation_of_no_number_is_named_by_its_row(field, value):
    rows, defects = read(annotations=[{"id": 7, **BOX}, {"id": 8, **BOX, field: value}])
    assert [row["id"] for row in rows.annotations] == [7]
    assert defects == [
        f"annotations[1]: {field} is {value!r}, must be a whole number of 64 bits"
    ]


def test_an_annotation_of_another_form_is_named_by_its_line():
    place = "line 4 of labels/a.txt"
    _, defects = read(annotations=[{**BOX, "id": place, "category_id": float("nan")}])
    assert defects == [
        "line 4 of labels/a.txt: category_id is nan, must be a whole number of 64 bits"
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (None, "name is None, must be text"),
        (5, "name is 5, must be text"),
        ("", "name '' is empty"),
        ("a\nb", "name 'a\\nb' has a line break"),
    ],
)
def test_a_class_without_a_name_is_one_defect_with_its_annotations(name, problem):
    rows, defects = read(categories=[CAT | {"name": name}, DOG])
    assert rows.categories == [DOG] and rows.annotations == []
    assert defects == [f"categories[0]: {problem}; left out with its 2 annotations"]


def test_blanks_at_the_ends_of_a_name_are_taken_off():
    rows, defects = read(categories=[CAT | {"name": " cat "}])
    assert rows.categories == [CAT] and defects == []


def test_the_second_class_of_a_name_is_a_defect_with_its_annotations():
    rows, defects = read(
        categories=[DOG | {"id": 0}, CAT, CAT | {"id": 4, "name": "cat "}],
        annotations=[{"id": 7, **BOX}, {"id": 8, **BOX, "category_id": 4}],
    )
    assert [row["id"] for row in rows.categories] == [0, 1]
    assert [row["id"] for row in rows.annotations] == [7]
    assert defects == [
        "category 4: name 'cat' is another class's too; left out with its annotation"
    ]


def test_a_root_of_the_name_of_its_class_is_none_where_no_object_has_it():
    root = {"id": 0, "name": "cat", "supercategory": "none"}
    rows, defects = read(categories=[root, CAT, DOG])
    assert rows.categories == [CAT, DOG] and defects == []
    # With an object it is a class like others.
    _, defects = read(
        categories=[root, CAT], annotations=[{"id": 7, **BOX, "category_id": 0}]
    )
    assert len(defects) == 1


def test_a_root_that_all_classes_belong_to_is_none_where_no_object_has_it():
    pets = {"id": 0, "name": "pets", "supercategory": "none"}
    cat, dog = (row | {"supercategory": "pets"} for row in (CAT, DOG))
    rows, defects = read(categories=[pets, cat, dog])
    assert rows.categories == [cat, dog] and defects == []
    # A class that another does not belong to is one, and so is one with an object.
    assert read(categories=[pets, cat, DOG])[0].categories == [pets, cat, DOG]
    things = [{"id": 7, **BOX, "category_id": 0}]
    rows, _ = read(categories=[pets, cat], annotations=things)
    assert rows.categories == [pets, cat]


@pytest.mark.parametrize("file", [None, 7, ["a.jpg"], "a\0.jpg", "\ud800.jpg"])
def test_a_name_that_no_file_can_have_is_one_defect(file):
    rows, (defect,) = read(images=[IMAGE | {"file_name": file}])
    assert rows.images == []
    assert defect.startswith("images[0]: file_name is ") and "2 annotations" in defect


def test_a_sound_row_keeps_its_annotations_beside_a_broken_one_of_its_id():
    rows, defects = read(images=[IMAGE, IMAGE | {"height": -1}])
    assert len(rows.images) == 1 and len(rows.annotations) == 2
    assert defects == [
        "images[1] (a.jpg): height is -1, must be a whole number of pixels above 0"
    ]


@pytest.mark.parametrize("rows", [[None], [7], ["a"], [[]], [{}]])
@pytest.mark.parametrize("part", ["images", "categories", "annotations"])
def test_what_is_no_row_lacks_its_first_field(part, rows):
    _, defects = read(**{part: rows})
    assert defects[0] == f"{part}[0]: no 'id'"
