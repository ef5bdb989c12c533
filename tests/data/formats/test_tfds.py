import json
import pickle
import shutil

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from fpn_jax.data.digits.scenes import KEYPOINTS, draw_scene, load_material
from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.formats.tfds import TfdsSource


@pytest.mark.parametrize(("split", "size"), [("train", 40), ("validation", 6)])
def test_what_is_read_is_what_was_drawn(digits_directory, split, size):
    source = TfdsSource(digits_directory, split, masks=True)
    material = load_material(split)
    assert len(source) == size
    for number in range(size):
        example, scene = source[number], draw_scene(material, split, number)
        assert (example.image_id, example.name) == (number, f"{split}-{number:06d}.jpg")
        np.testing.assert_array_equal(example.boxes, scene.boxes)
        np.testing.assert_array_equal(example.labels, scene.labels)
        sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
        np.testing.assert_array_equal(example.areas, sides.prod(axis=1))
        assert not example.crowd.any()
        np.testing.assert_array_equal(example.masks, scene.masks)
        np.testing.assert_array_equal(example.keypoints, scene.keypoints)
        # What JPEG of quality 95 may change, on average and in 255 levels.
        assert np.abs(example.image.astype(int) - scene.image).mean() < 4


def test_an_image_without_objects_is_read(digits_directory):
    source = TfdsSource(digits_directory, "train")
    empty = [example for example in source if not len(example.boxes)]
    assert empty
    assert empty[0].boxes.shape == (0, 4) and empty[0].labels.dtype == np.int32


def test_masks_are_decoded_only_if_asked_for(digits_directory, monkeypatch):
    source = TfdsSource(digits_directory, "train")
    monkeypatch.delattr("fpn_jax.data.formats.tfds.decode_segmentations")
    assert source[0].masks is None and source[0].keypoints is not None


def test_keypoints_are_named(digits_directory):
    source = TfdsSource(digits_directory, "train")
    assert source.keypoint_spec == source[0].keypoint_spec == KEYPOINTS


def _write_as_coco_2017(directory):
    """One image with one object, with the features of `coco/2017` alone."""
    objects = {
        "area": np.int64,
        "bbox": tfds.features.BBoxFeature(),
        "id": np.int64,
        "is_crowd": np.bool_,
        "label": tfds.features.ClassLabel(names=["person"]),
    }
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "image/id": np.int64,
            "objects": tfds.features.Sequence(objects),
        }
    )
    identity = tfds.core.dataset_info.DatasetIdentity(
        name="coco",
        version=tfds.core.Version("1.1.0"),
        data_dir=str(directory),
        module_name=__name__,
    )
    info = tfds.core.DatasetInfo(builder=identity, features=features)
    writer = tfds.core.SequentialWriter(
        info, max_examples_per_shard=10, file_format="array_record"
    )
    writer.initialize_splits(["train"])
    image = np.zeros((20, 30, 3), np.uint8)
    annotation = {"area": 7, "id": 1, "is_crowd": False, "label": 0}
    annotation["bbox"] = np.array([0.5, 0.1, 1.0, 0.4])
    record = {"image": cv2.imencode(".jpg", image)[1].tobytes(), "image/id": 4}
    record |= {"image/filename": "4.jpg", "objects": [annotation]}
    writer.add_examples({"train": [record]})
    writer.close_all()


def test_a_directory_without_masks_and_keypoints_is_a_source(tmp_path):
    _write_as_coco_2017(tmp_path)
    source = TfdsSource(tmp_path, "train")
    assert source.keypoint_spec is None
    np.testing.assert_allclose(source[0].boxes, [[3, 10, 12, 20]], rtol=1e-6)
    assert source[0].masks is None and source[0].keypoints is None
    assert source.image_sizes is None
    with pytest.raises(ValueError, match=r"^masks: [^\n]* has no segmentations$"):
        TfdsSource(tmp_path, "train", masks=True)


def test_categories_are_the_labels(digits_directory):
    categories = TfdsSource(digits_directory, "train").categories
    assert categories == tuple((digit, str(digit)) for digit in range(10))


def test_the_features_are_those_of_coco_2017_and_more(digits_directory):
    features = tfds.builder_from_directory(digits_directory).info.features
    image = {"image", "image/filename", "image/id", "image/upright"}
    assert set(features) == image | {"objects"}
    coco = {"area", "bbox", "id", "is_crowd", "label"}
    assert set(features["objects"].feature) == coco | {
        "segmentation",
        "keypoints",
        "xyxy",
    }


def test_a_slice_of_a_split_is_a_source(digits_directory):
    source = TfdsSource(digits_directory, "train[50%:]")
    assert (len(source), source[0].image_id) == (20, 20)
    assert source.image_sizes.tolist() == [[320, 320]] * 20
    assert source.name == "digits/train[50%:]"


def test_a_source_survives_the_journey_to_a_worker(digits_directory):
    source = TfdsSource(digits_directory, "validation")
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[2].image, source[2].image)
    assert len(pickle.dumps(source)) < 100_000  # the records stay on disk


def test_unknown_names_are_answered_in_one_line(digits_directory, tmp_path):
    with pytest.raises(ValueError, match=r"^split must be [^\n]*nearest: 'train'\)$"):
        TfdsSource(digits_directory, "trian")
    with pytest.raises(ValueError, match=r"^directory: [^\n]*dataset_info.json[^\n]*$"):
        TfdsSource(tmp_path, "train")


def test_a_broken_record_is_unreadable_and_named(digits_directory, monkeypatch):
    source = TfdsSource(digits_directory, "train")
    record = source._records[3]
    broken = record | {"image": record["image"][:999]}
    monkeypatch.setattr(source, "_records", [broken])
    with pytest.raises(UnreadableImage, match="train-000003.jpg"):
        source[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset_info.json", b"{"),
        ("features.json", b"\xff"),
        ("metadata.json", b""),
        ("image_sizes.npz", b"PK"),
    ],
)
def test_a_broken_file_of_the_directory_is_one_line(
    digits_directory, tmp_path, name, content
):
    broken = tmp_path / "digits"
    shutil.copytree(digits_directory, broken)
    (broken / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{broken}: not readable: [^\n]+$"):
        TfdsSource(broken, "train")


def test_a_directory_of_images_without_objects_is_named(tmp_path):
    _write_as_coco_2017(tmp_path)
    features = tmp_path / "features.json"
    content = json.loads(features.read_text())
    del content["featuresDict"]["features"]["objects"]
    features.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="no objects, has the features "):
        TfdsSource(tmp_path, "train")


def test_the_features_of_voc_are_read_by_hand(tmp_path):
    """As `voc/2007` has them: no ids, no areas, difficult objects."""
    objects = {
        "bbox": tfds.features.BBoxFeature(),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        "is_truncated": np.bool_,
        "is_difficult": np.bool_,
    }
    features = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "image/filename": tfds.features.Text(),
        "objects": tfds.features.Sequence(objects),
    }
    identity = tfds.core.dataset_info.DatasetIdentity(
        name="voc",
        version=tfds.core.Version("5.0.0"),
        data_dir=str(tmp_path),
        module_name=__name__,
    )
    info = tfds.core.DatasetInfo(
        builder=identity, features=tfds.features.FeaturesDict(features)
    )
    writer = tfds.core.SequentialWriter(info, 10, file_format="array_record")
    writer.initialize_splits(["test"])
    box = tfds.features.BBox(ymin=0.25, xmin=0.5, ymax=0.75, xmax=1.0)
    found = [
        {"bbox": box, "label": 1, "is_truncated": False, "is_difficult": hard}
        for hard in (False, True)
    ]
    image = cv2.imencode(".jpg", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    rows = [
        {"image": image, "image/filename": name, "objects": things}
        for name, things in (("2007_000027.jpg", found), ("000005.jpg", []))
    ]
    writer.add_examples({"test": rows})
    writer.close_all()
    first, empty = TfdsSource(tmp_path, "test")
    assert (first.image_id, empty.image_id) == (2007000027, 5)
    assert first.boxes.tolist() == [[30, 10, 60, 30]] * 2
    assert first.areas.tolist() == [600, 600]
    assert first.crowd.tolist() == [False, True] and first.labels.tolist() == [1, 1]
    assert empty.boxes.shape == (0, 4)
