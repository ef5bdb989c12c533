"""The same records from every form of a data set, and how a source is found."""

import pickle
import re
from inspect import signature

import numpy as np
import pytest

from fpn_jax.data import sources
from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.sources import decodable, open_source, readable
from tests.support import formats
from tests.support.formats import FORMS

NUM_IMAGES = 200
EXACT = ("image_id", "image", "labels", "boxes")


@pytest.fixture(scope="module")
def pairs():
    return formats.miniature(NUM_IMAGES)


@pytest.fixture(scope="module")
def written(pairs, tmp_path_factory):
    """Returns the root of the miniature in every form."""
    root = tmp_path_factory.mktemp("forms")
    for form, (write, _) in FORMS.items():
        if form == "coco":
            write(root / form, pairs)
        else:
            (root / form).mkdir()
            write(root / form, pairs, "val")
    return root


def open_form(root, form, **options):
    return open_source(str(root / form), "val", **options)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_records(pairs, written, form):
    fields = FORMS[form][1]
    source = open_form(written, form, masks="masks" in fields)
    assert len(source) == NUM_IMAGES
    assert [category.name for category in source.categories] == list("0123456789")
    for read, (example, _) in zip(source, pairs, strict=True):
        assert read.name.endswith(example.name)
        for field in {*EXACT, *fields}:
            ours, theirs = getattr(read, field), getattr(example, field)
            if field == "boxes" and form == "yolo":  # shares of the image
                np.testing.assert_allclose(ours, theirs, atol=1e-4)
            else:
                np.testing.assert_array_equal(ours, theirs, err_msg=field)
        if "areas" not in fields:
            sides = example.boxes[:, 2:] - example.boxes[:, :2]
            np.testing.assert_allclose(read.areas, sides.prod(axis=1), rtol=1e-4)
        if "crowd" not in fields:
            assert not read.crowd.any()


def test_the_miniature_has_what_real_data_has(pairs):
    examples = [example for example, _ in pairs]
    assert len({example.image.shape for example in examples}) > 100
    assert any(not len(example.labels) for example in examples)
    assert any(example.crowd.any() for example in examples)
    sides = np.concatenate([e.boxes[:, 2:] - e.boxes[:, :2] for e in examples])
    assert (sides == 1).all(axis=1).any()
    starts = {data[:2] for _, data in pairs}
    assert starts == {b"\xff\xd8", b"\x89P"}


@pytest.mark.parametrize("form", FORMS)
def test_other_processes_read_the_same(written, form):
    source = open_form(written, form)
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[3].image, source[3].image)
    np.testing.assert_array_equal(copy[3].boxes, source[3].boxes)


@pytest.mark.parametrize("form", FORMS)
def test_an_image_that_is_gone_is_unreadable_and_named(pairs, tmp_path, form):
    write = FORMS[form][0]
    few = pairs[:4]
    few[2] = (few[2][0], b"\xff\xd8 no image")
    if form == "coco":
        write(tmp_path / form, few)
    else:
        (tmp_path / form).mkdir()
        write(tmp_path / form, few, "val")
    source = open_form(tmp_path, form)
    assert len(list(decodable(source))) == 3
    assert len(list(readable(source))) == 4  # its objects are known
    with pytest.raises(UnreadableImage, match=few[2][0].name):
        source[2]
    if form != "archives":
        (path,) = tmp_path.rglob(few[1][0].name)
        path.unlink()
        with pytest.raises(UnreadableImage, match=rf"{few[1][0].name}: No such file"):
            source[1]


@pytest.mark.parametrize("form", ["official", "voc", "yolo", "csv"])
def test_a_split_that_is_not_there_is_named_with_those_that_are(written, form):
    with pytest.raises(
        ValueError, match="split must be one of .*'val.*got 'vla'.*'val"
    ):
        open_source(str(written / form), "vla")


def test_a_validation_split_has_three_names(pairs, tmp_path):
    for form, name in {"voc": "val", "csv": "valid", "yolo": "val"}.items():
        (tmp_path / form).mkdir()
        FORMS[form][0](tmp_path / form, pairs[:2], name)
        assert len(open_source(str(tmp_path / form), "validation")) == 2
    formats.write_coco(tmp_path / "folders" / "valid", pairs[:2])
    assert len(open_source(str(tmp_path / "folders"), "validation")) == 2


@pytest.mark.parametrize("split", ["val2017", "validation"])
def test_a_year_may_be_left_out(written, split):
    assert len(open_source(str(written / "archives"), split)) == NUM_IMAGES


def test_of_several_years_the_last_is_taken(pairs, tmp_path):
    formats.write_archives(tmp_path, pairs[:2], "val")
    # Unpacked, hence found before the archives.
    formats.write_images(tmp_path / "val2014", pairs[:1])
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val2014.json").write_text(
        formats.coco_json(pairs[:1])
    )
    sizes = [len(open_source(str(tmp_path), name)) for name in ("val", "val2014")]
    assert sizes == [2, 1]


def test_keypoints_are_those_of_persons(pairs, tmp_path):
    formats.write_official(tmp_path, pairs[:2], "val")
    with pytest.raises(ValueError, match=r"no person_keypoints_\*.json among"):
        open_source(str(tmp_path), "val", keypoints=True)
    folder = tmp_path / "annotations"
    (folder / "person_keypoints_val2017.json").write_text(formats.coco_json(pairs[:1]))
    assert len(open_source(str(tmp_path), "val", keypoints=True)) == 1
    assert len(open_source(str(tmp_path), "val")) == 2


def test_what_is_no_data_set_is_told(tmp_path):
    message = f"data source '{tmp_path}' is neither 'digits' nor .*train.csv"
    with pytest.raises(ValueError, match=message):
        open_source(str(tmp_path), "train")


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        ("coco128.yaml", "it has coco128.yaml: give {root}/coco128.yaml"),
        ("result.json", "it has result.json: give {root}/result.json"),
        ("a.xml", "its XML files and their images must be in a folder, as train"),
        ("data/data.yaml", "it has data: give {root}/data"),
        ("labels/a.txt", "YOLO needs data.yaml, with names: [cat, dog] and train: im"),
        ("classes.txt", "YOLO needs data.yaml, with names: [cat, dog] and train: im"),
        ("valid/annotations.json", "it has the split 'valid', and no 'train'"),
        ("VOC2007/Annotations/a.xml", "it has VOC2007: give {root}/VOC2007"),
    ],
)
def test_a_folder_near_a_data_set_is_told_what_it_has(tmp_path, file, hint):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    end = re.escape("train.csv; " + hint.format(root=tmp_path))
    with pytest.raises(ValueError, match=rf"^data source [^\n]*{end}"):
        open_source(str(tmp_path), "train")


def test_a_file_of_another_name_among_the_annotations_may_be_given_itself(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/val.json").touch()
    end = re.escape(f"; {tmp_path}/annotations/val.json may be given itself")
    with pytest.raises(ValueError, match=rf"no instances_\*\.json [^\n]*{end}$"):
        open_source(str(tmp_path), "train")


def test_a_file_of_another_kind_is_told(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match="train.csv; it is a file of another kind$"):
        open_source(str(tmp_path / "a.jpg"), "train")


def test_a_path_beside_a_data_set_is_told_with_the_one_that_is_meant(written):
    files = sorted((written / "csv").glob("*.csv"))
    for given, meant in (
        (written / "voc" / "Annotations", written / "voc"),
        (written / "yolo" / "labels", written / "yolo"),
        (files[0], written / "csv"),
    ):
        with pytest.raises(ValueError, match=re.escape(f"nearest: '{meant}'")):
            open_source(str(given), "val")


def test_an_archive_unpacked_into_a_folder_of_its_name_is_found(pairs, tmp_path):
    (tmp_path / "cats" / "cats").mkdir(parents=True)
    formats.write_official(tmp_path / "cats" / "cats", pairs[:1], "val")
    meant = re.escape(f"it has cats: give {tmp_path}/cats/cats")
    with pytest.raises(ValueError, match=meant):
        open_source(str(tmp_path / "cats"), "val")


def test_a_path_that_does_not_exist_is_told(tmp_path):
    with pytest.raises(ValueError, match="'.*cat' is neither 'digits' nor a path that"):
        open_source(str(tmp_path / "cat"), "val")


@pytest.mark.parametrize("name", ["https://a.b/c.zip", "file:///c", "hdfs://c"])
def test_an_address_that_is_no_path_is_told(name):
    with pytest.raises(ValueError, match=f"'{name}': expected a path, gs://… or s3:/"):
        open_source(name, "val")


@pytest.mark.parametrize("form", ["voc", "csv"])
def test_forms_without_masks_say_so(written, form):
    with pytest.raises(ValueError, match=re.escape(f"{form} has boxes only")):
        open_form(written, form, masks=True)


def test_forms_are_told_and_opened_by_functions_of_one_signature():
    for is_form, open_form in sources._FORMATS:
        assert list(signature(is_form).parameters) == ["path", "split"]
        path, split, *options = signature(open_form).parameters.values()
        assert (path.name, split.name) == ("path", "split")
        assert [option.name for option in options] == ["masks", "keypoints", "strict"]
        assert all(option.kind is option.KEYWORD_ONLY for option in options)
        assert [option.default for option in options] == [False, False, True]
