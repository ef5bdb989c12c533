import dataclasses
import json
import logging
import multiprocessing
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from fpn_jax.data.batching import WHOLE, Batching, Share
from fpn_jax.data.example import Category, Example, UnreadableImage
from fpn_jax.data.formats.coco import open_coco_file
from fpn_jax.data.formats.tfds import TfdsSource
from fpn_jax.data.loader import Changes, evaluation_batches, training_batches
from fpn_jax.data.mixing import Mosaic
from fpn_jax.data.transforms import HorizontalFlip, ScaleJitter

NUM = 10


class Numbers:
    """Ten gray images; number i has i boxes, brightness 10 * i and id 100 + i."""

    name = "numbers"
    categories = (Category(0, "thing"),)
    keypoint_spec = None
    defects = ()
    image_sizes = None

    def __init__(self, size=NUM, unreadable=()):
        self._size = size
        self._unreadable = unreadable

    def __len__(self):
        return self._size

    def __getitem__(self, index):
        if index in self._unreadable:
            raise UnreadableImage(f"{index}.jpg: broken")
        side = np.arange(1, index + 1, dtype=np.float32)
        return Example(
            image_id=100 + index,
            name=f"{index}.jpg",
            image=np.full((30, 40, 3), 10 * index, np.uint8),
            boxes=np.column_stack([0 * side, 0 * side, side, side]),
            labels=np.zeros(index, np.int32),
            crowd=np.zeros(index, np.bool_),
            areas=side**2,
        )

    def has_objects(self, *, keypoints):
        """Not known."""

    def object_counts(self):
        """Not known."""


TEN = Numbers()


FORM = {"batch_size": 4, "canvas": (30, 40), "max_boxes": 12, "max_errors": 10}
FORM_FIELDS = {field.name for field in dataclasses.fields(Batching)}


def _training(source=TEN, *, transforms=(), seed=0, **settings):
    form = FORM | {"canvas": (32, 40)}
    form |= {name: settings.pop(name) for name in FORM_FIELDS & settings.keys()}
    settings = {"changes": Changes(tuple(transforms)), "seed": seed} | settings
    return training_batches(source, Batching(**form), **settings)


def _evaluation(source=TEN, *, share=WHOLE, **form):
    return evaluation_batches(source, Batching(**FORM | form), share)


def _take(batches, count):
    return [next(batches) for _ in range(count)]


def _ids(batches):
    return np.concatenate([batch["image_ids"] for batch in batches]).tolist()


def _assert_same(left, right):
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


JITTER = (HorizontalFlip(), ScaleJitter((32, 40), 0.5, 2.0))


def test_a_batch_has_the_promised_arrays():
    (batch,) = _take(_training(), 1)
    assert {key: (value.dtype.name, value.shape) for key, value in batch.items()} == {
        "images": ("uint8", (4, 32, 40, 3)),
        "sizes": ("int32", (4, 2)),
        "boxes": ("float32", (4, 12, 4)),
        "labels": ("int32", (4, 12)),
        "valid": ("bool", (4, 12)),
        "crowd": ("bool", (4, 12)),
        "image_ids": ("int64", (4,)),
        "example_valid": ("bool", (4,)),
    }
    np.testing.assert_array_equal(batch["valid"].sum(axis=1), batch["image_ids"] - 100)
    np.testing.assert_array_equal(
        batch["images"][:, 0, 0, 0], 10 * (batch["image_ids"] - 100)
    )


def test_every_epoch_is_a_new_permutation_of_all_examples():
    ids = np.reshape(_ids(_take(_training(), 10)), (4, NUM))
    np.testing.assert_array_equal(np.sort(ids), np.tile(np.arange(100, 110), (4, 1)))
    assert len({tuple(epoch) for epoch in ids}) == 4


def test_the_seed_decides_order_and_transforms():
    first, again, other = (
        _take(_training(transforms=JITTER, seed=seed), 5) for seed in (3, 3, 4)
    )
    _assert_same(first, again)
    assert _ids(first) != _ids(other)


def test_an_example_is_transformed_anew_in_every_epoch():
    epochs = _take(_training(Numbers(2), batch_size=2, transforms=JITTER), 8)
    sizes = {tuple(sorted(map(tuple, batch["sizes"]))) for batch in epochs}
    assert len(sizes) > 4


def test_the_examples_of_a_batch_are_transformed_independently():
    (batch,) = _take(_training(batch_size=NUM, transforms=JITTER), 1)
    assert len({tuple(size) for size in batch["sizes"]}) > 4


def test_the_last_transforms_replace_the_others_from_their_batch_on():
    mosaic = Mosaic(TEN, (16, 20))
    batches = _training(changes=Changes((mosaic, *JITTER), JITTER, last_from=3))
    mixed, last = _take(batches, 3), _take(batches, 3)
    _assert_same(_take(_training(transforms=(mosaic, *JITTER)), 3), mixed)
    plain = _take(_training(transforms=JITTER), 6)
    _assert_same(plain[3:], last)
    for ours, other in zip(mixed, plain, strict=False):
        assert (ours["images"] != other["images"]).any()


class Shapes(Numbers):
    """Ten images of which 1, 4 and 7 stand."""

    image_sizes = np.array([(40, 30) if i % 3 == 1 else (30, 40) for i in range(NUM)])

    def __getitem__(self, index):
        example = super().__getitem__(index)
        height, width = self.image_sizes[index]
        image = np.resize(example.image, (height, width, 3))
        return dataclasses.replace(example, image=image)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_stand_come_on_a_turned_canvas(workers):
    jitter = (ScaleJitter((32, 48), 1, 1),)
    settings = {"batch_size": 2, "canvas": (32, 48), "transforms": jitter}
    settings |= {"group_by_aspect": True, "workers": workers}
    batches = _take(_training(Shapes(), **settings), 20)
    for batch in batches:
        stands = (batch["image_ids"] - 100) % 3 == 1
        canvas = (48, 32) if stands.all() else (32, 48)
        assert batch["images"].shape[1:3] == canvas
        if len(set(stands)) == 1:  # as large as it can be
            assert batch["sizes"].max() in (42, 43)
    assert len({batch["images"].shape for batch in batches}) == 2
    ids = np.reshape(_ids(batches), (4, NUM))
    np.testing.assert_array_equal(np.sort(ids), np.tile(np.arange(100, 110), (4, 1)))
    # Two processes share each of the batches.
    halves = [
        _take(
            _training(
                Shapes(),
                **settings | {"batch_size": 1, "share": Share(i, 2)},
            ),
            20,
        )
        for i in (0, 1)
    ]
    for whole, *parts in zip(batches, *halves, strict=True):
        for name in whole:
            together = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(whole[name], together)


def test_an_unreadable_image_is_replaced_on_the_canvas_of_its_batch():
    source = Shapes(unreadable=(1, 4, 7))
    settings = {"canvas": (32, 48), "batch_size": 1, "group_by_aspect": True}
    batches = _training(source, transforms=(ScaleJitter((32, 48), 1, 1),), **settings)
    shapes = [batch["images"].shape[1:3] for batch in _take(batches, NUM)]
    assert sorted(shapes) == 7 * [(32, 48)] + 3 * [(48, 32)]


def test_grouping_needs_sizes():
    with pytest.raises(ValueError, match="group_by_aspect: numbers does not know the"):
        _training(group_by_aspect=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers):
    batches = _training(transforms=JITTER, workers=workers)
    _assert_same(_take(batches, 6), _take(_training(transforms=JITTER), 6))
    state = batches.get_state()
    expected = _take(batches, 2)
    batches.close()
    resumed = _training(transforms=JITTER)  # by another number of workers
    resumed.set_state(state)
    _assert_same(_take(resumed, 2), expected)


def test_reading_goes_on_where_a_worker_is_killed(caplog):
    batches = _training(transforms=JITTER, workers=1)
    first = _take(batches, 3)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    worker.join()
    # What was read ahead is used up before the death is noticed.
    _assert_same(first + _take(batches, 20), _take(_training(transforms=JITTER), 23))
    batches.close()
    (record,) = caplog.records
    assert "A loader process was killed; reading goes on from batch" in record.message


class Deadly(Numbers):
    """Ends the process that reads it."""

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_are_killed_again_and_again_are_one_line():
    with pytest.raises(ValueError, match="^data.workers: of 1 loader .* 3 tries"):
        next(_training(Deadly(), workers=1))


@pytest.mark.parametrize("taken", [0, 1, 2, 7])  # 2.5 batches are an epoch
def test_a_state_continues_exactly(taken):
    batches = _training(transforms=JITTER)
    _take(batches, taken)
    state = json.loads(json.dumps(batches.get_state()))
    expected = _take(batches, 4)
    resumed = _training(transforms=JITTER)
    resumed.set_state(state)
    _assert_same(_take(resumed, 4), expected)
    batches.set_state(state)  # backwards, with later batches already read ahead
    _assert_same(_take(batches, 4), expected)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_processes_share_every_epoch_without_overlap(count):
    shards = [
        _take(_training(batch_size=2, share=Share(i, count)), 5) for i in range(count)
    ]
    ids = np.concatenate([_ids(shard) for shard in shards])
    np.testing.assert_array_equal(np.bincount(ids)[100:], np.full(NUM, count))


def test_global_batches_do_not_depend_on_the_number_of_processes():
    shares = [
        _take(
            _training(batch_size=2, transforms=JITTER, share=Share(i, 2)),
            3,
        )
        for i in range(2)
    ]
    joined = [
        {key: np.concatenate([left[key], right[key]]) for key in left}
        for left, right in zip(*shares, strict=True)
    ]
    _assert_same(joined, _take(_training(transforms=JITTER), 3))


def test_evaluation_goes_once_through_the_source_in_order():
    batches = list(_evaluation())
    assert len(batches) == 3
    assert _ids(batches)[:NUM] == list(range(100, 110))
    valid = np.concatenate([batch["example_valid"] for batch in batches])
    assert valid.tolist() == [True] * NUM + [False] * 2


def test_padding_examples_are_black_and_have_no_boxes():
    last = list(_evaluation())[-1]
    padding = ~last["example_valid"]
    assert not last["images"][padding].any() and not last["valid"][padding].any()
    assert last["sizes"][padding].tolist() == [[30, 40]] * 2


@pytest.mark.parametrize(("size", "expected"), [(1, 1), (4, 1), (6, 1), (7, 2)])
def test_evaluation_processes_get_equally_many_batches(size, expected):
    shards = [
        list(
            _evaluation(Numbers(size), batch_size=2, share=Share(i, 3), canvas=(40, 40))
        )
        for i in range(3)
    ]
    assert [len(shard) for shard in shards] == [expected] * 3
    batches = sum(shards, [])
    valid = np.concatenate([batch["example_valid"] for batch in batches])
    ids = np.array(_ids(batches))[valid]
    assert sorted(ids) == list(range(100, 100 + size))


def test_sizes_map_boxes_back_to_the_image():
    # 30 x 40 into 50 x 50: a scale of 1.25, with 37.5 rounded down.
    (batch,) = _evaluation(batch_size=NUM, canvas=(50, 50))
    np.testing.assert_array_equal(batch["sizes"], [[37, 50]] * NUM)
    np.testing.assert_array_equal(batch["image_sizes"], [[30, 40]] * NUM)
    scales = (batch["sizes"] / batch["image_sizes"])[:, ::-1]
    np.testing.assert_allclose(scales, [[1.25, 37 / 30]] * NUM)
    boxes = batch["boxes"] / np.tile(scales, 2)[:, None]
    np.testing.assert_allclose(boxes[9, 6], [0, 0, 7, 7], rtol=1e-6)


def _stands(batch):
    return (batch["image_ids"] - 100) % 3 == 1


def test_sizes_that_are_known_give_every_canvas_batches_of_its_own():
    """Of ten images 1, 4 and 7 stand: two batches lie, one stands."""
    batches = list(_evaluation(Shapes(), canvas=(30, 64)))
    assert [batch["images"].shape[1:3] for batch in batches] == [
        *[(32, 64)] * 2,
        (64, 32),
    ]
    ids = [batch["image_ids"][batch["example_valid"]].tolist() for batch in batches]
    assert ids == [[100, 102, 103, 105], [106, 108, 109], [101, 104, 107]]
    assert batches[0]["sizes"].tolist() == [[30, 40]] * 4
    assert batches[2]["sizes"][:3].tolist() == [[40, 30]] * 3


class Unsized(Shapes):
    """The same, without a table that says it."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.shapes, self.image_sizes = Shapes.image_sizes, None

    def __getitem__(self, index):
        example = Numbers.__getitem__(self, index)
        image = np.resize(example.image, (*self.shapes[index], 3))
        return dataclasses.replace(example, image=image)


def test_sizes_that_are_not_known_give_a_batch_once_for_each_canvas_it_needs():
    batches = list(_evaluation(Unsized(), canvas=(30, 64), batch_size=2))
    ids = [batch["image_ids"][batch["example_valid"]].tolist() for batch in batches]
    # 100 and 101, 102 and 103, 104 and 105 …; the canvas as it is comes first.
    expected = [[100], [101], [102, 103], [105], [104], [106], [107], [108, 109]]
    assert ids == expected
    for batch in batches:
        real = batch["example_valid"]
        canvas = (64, 32) if _stands(batch)[real].all() else (32, 64)
        assert batch["images"].shape == (2, *canvas, 3)
    # A row of the other canvas is black, and keeps its place.
    assert batches[1]["example_valid"].tolist() == [False, True]
    assert not batches[1]["images"][0].any() and not batches[1]["valid"][0].any()


@pytest.mark.parametrize("source", [Shapes(), Unsized()], ids=["known", "unknown"])
def test_all_processes_run_the_same_programs_in_the_same_order(source):
    shares = [
        list(_evaluation(source, canvas=(30, 64), batch_size=2, share=Share(i, 3)))
        for i in range(3)
    ]
    shapes = [[batch["images"].shape for batch in share] for share in shares]
    assert shapes[0] == shapes[1] == shapes[2]
    real = [
        batch["image_ids"][batch["example_valid"]]
        for share in shares
        for batch in share
    ]
    assert sorted(np.concatenate(real)) == list(range(100, 110))


@pytest.mark.parametrize("source", [Shapes, Unsized])
def test_an_image_is_the_same_whatever_stands_beside_it(source):
    together, alone = (
        {
            int(image_id): [batch[name][row] for name in ("images", "sizes", "boxes")]
            for batch in _evaluation(source(), canvas=(48, 80), batch_size=size)
            for row, image_id in enumerate(batch["image_ids"])
            if batch["example_valid"][row]
        }
        for size in (4, 1)
    )
    assert together.keys() == alone.keys() == set(range(100, 110))
    for image_id, arrays in alone.items():
        for ours, other in zip(together[image_id], arrays, strict=True):
            np.testing.assert_array_equal(ours, other)


def test_too_many_boxes_are_told_once(caplog):
    with caplog.at_level(logging.WARNING):
        batches = _take(_training(max_boxes=5), 5)
    (record,) = caplog.records
    assert record.message == (
        "max_boxes is 5: 1 of the 6 objects of 6.jpg are left out, and so in other "
        "such images; --data.max-boxes gives them room"
    )
    rows = {
        image_id - 100: boxes[valid]
        for batch in batches
        for image_id, boxes, valid in zip(
            batch["image_ids"], batch["boxes"], batch["valid"], strict=True
        )
    }
    assert rows[9][:, 2].tolist() == [5, 6, 7, 8, 9]  # the largest
    assert len(rows[3]) == 3


def test_an_unreadable_image_is_named_once_and_replaced_by_the_next(caplog):
    with caplog.at_level(logging.WARNING):
        ids = _ids(_take(_training(Numbers(unreadable=(3, 9))), 5))  # two epochs
    counts = np.bincount(ids, minlength=110)[100:]
    assert counts.tolist() == [4, 2, 2, 0, 4, 2, 2, 2, 2, 0]
    named = sorted(record.message.split(": ", 1)[1] for record in caplog.records)
    assert named == ["3.jpg: broken", "9.jpg: broken"]


def test_a_file_that_breaks_in_the_third_epoch_is_replaced_from_then_on(caplog):
    source = Numbers()
    batches = _training(source)
    whole = [i for batch in _take(batches, 5) for i in batch["image_ids"].tolist()]
    assert sorted(whole) == sorted(2 * list(range(100, 110)))
    state = batches.get_state()
    batches.close()
    source._unreadable = (3,)
    batches.set_state(state)  # without what was read ahead
    broken = [i for batch in _take(batches, 5) for i in batch["image_ids"].tolist()]
    assert sorted(broken) == sorted(2 * [100, 101, 102, 104, 104, *range(105, 110)])
    assert [record.message for record in caplog.records] == [
        "Skipped image 1: 3.jpg: broken"
    ]


def test_an_unreadable_image_is_left_out_of_the_evaluation(caplog):
    with caplog.at_level(logging.WARNING):
        batches = list(_evaluation(Numbers(unreadable=(3,))))
    valid = np.concatenate([batch["example_valid"] for batch in batches])
    assert np.flatnonzero(~valid).tolist() == [3, 10, 11]
    twice, skipped = [record.message for record in caplog.records]
    assert skipped == "Skipped image 1: 3.jpg: broken"
    assert "evaluated twice; `fpn-jax prepare`" in twice


@pytest.mark.parametrize("workers", [0, 1])
def test_more_unreadable_images_than_allowed_stop_the_run(workers):
    source = Numbers(unreadable=(1, 2, 3))
    batches = _training(source, max_errors=2, workers=workers)
    with pytest.raises(ValueError, match="^max_errors: 3 unreadable .* 1.jpg: broken$"):
        _take(batches, 10)
    batches.close()
    _take(_training(source, max_errors=3), 10)
    with pytest.raises(ValueError, match="^max_errors: 3 unreadable"):
        list(_evaluation(source, max_errors=2))


def test_a_source_of_which_nothing_is_readable_stops_the_run():
    with pytest.raises(ValueError, match="^max_errors: "):
        source = Numbers(2, unreadable=(0, 1))
        next(_training(source, max_errors=1, transforms=[HorizontalFlip(1.0), *JITTER]))


def test_a_corrupt_jpeg_of_a_coco_folder_is_skipped(tmp_path, caplog):
    images = [
        {"id": i, "file_name": f"{i}.jpg", "height": 30, "width": 40} for i in range(3)
    ]
    content = {"images": images, "categories": [], "annotations": []}
    Path(tmp_path / "annotations.json").write_text(json.dumps(content))
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    for i in range(3):
        Path(tmp_path / f"{i}.jpg").write_bytes(data[: len(data) // 2] if i else data)
    with caplog.at_level(logging.WARNING):
        ids = _ids(_take(_training(open_coco_file(tmp_path)), 3))
    assert set(ids) == {0}
    assert len(caplog.records) == 2 and "1.jpg: not a readable" in caplog.text


def test_images_without_objects_are_used():
    (batch,) = _evaluation(Numbers(1), batch_size=1)
    assert batch["example_valid"].all() and not batch["valid"].any()


def test_errors_that_are_no_unreadable_image_stop_the_run():
    with pytest.raises(ValueError, match=r"canvas: \(20, 20\) is smaller than"):
        next(_training(canvas=(20, 20)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size: 0 given, must be >= 1"),
        ({"max_boxes": 0}, "max_boxes: 0 given, must be >= 1"),
        ({"source": Numbers(0)}, "source: numbers has no examples"),
        ({"mask_size": 0}, "mask_size: 0 given, must be >= 1"),
        ({"keypoints": True}, "keypoints: numbers has none"),
    ],
)
def test_wrong_settings_are_refused_at_once(changes, message):
    for batches in (_training, _evaluation):
        with pytest.raises(ValueError, match=f"^{message}$"):
            batches(**changes)


@pytest.mark.parametrize(
    "share, message",
    [((2, 2), "index: 2 given, must be 0 … 1"), ((0, 0), "count: 0 given, must be")],
)
def test_a_share_that_does_not_exist_is_refused(share, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Share(*share)


def _with_all(digits_directory, **changes):
    source = TfdsSource(digits_directory, "train", masks=True)
    settings = {"canvas": (160, 160), "mask_size": 28, "keypoints": True}
    transforms = (HorizontalFlip(), ScaleJitter((160, 160), 0.5, 2.0))
    return _training(source, transforms=transforms, **settings | changes)


def test_masks_and_keypoints_do_not_depend_on_the_workers(digits_directory):
    batches = _with_all(digits_directory, workers=1)
    taken = _take(batches, 4)
    batches.close()
    _assert_same(taken, _take(_with_all(digits_directory), 4))
    for batch in taken:
        assert batch["masks"].shape == (4, 12, 28, 28)
        assert batch["masks"].dtype == np.uint8 and batch["masks"].max() <= 1
        assert batch["keypoints"].shape == (4, 12, 3, 3)
    assert taken[0]["masks"].any() and taken[0]["keypoints"].any()


def test_masks_and_keypoints_change_nothing_else(digits_directory):
    batches = _take(_with_all(digits_directory), 3)
    plain = _take(_with_all(digits_directory, mask_size=None, keypoints=False), 3)
    for batch in batches:
        for name in ("masks", "mask_regions", "keypoints"):
            del batch[name]
    _assert_same(batches, plain)


def test_padding_examples_have_no_masks_and_keypoints(digits_directory):
    source = TfdsSource(digits_directory, "validation", masks=True)
    settings = {"canvas": (320, 320), "mask_size": 14, "keypoints": True}
    *_, last = _evaluation(source, **settings)
    assert last["example_valid"].tolist() == [True, True, False, False]
    for name in ("masks", "mask_regions", "keypoints"):
        assert last[name][:2].any() and not last[name][2:].any()


def test_the_digits_travel_the_whole_way(digits_directory):
    source = TfdsSource(digits_directory, "validation")
    (batch,) = _evaluation(source, batch_size=6, canvas=(320, 320))
    for row, example in enumerate(source):
        np.testing.assert_array_equal(batch["images"][row], example.image)
        boxes = batch["boxes"][row, batch["valid"][row]]
        np.testing.assert_array_equal(boxes, example.boxes)
