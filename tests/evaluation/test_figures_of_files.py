"""Figures of annotation files, held against COCO's own tool on the same files.

None of the images is there: what results are compared with needs none of them.
"""

import contextlib
import copy
import io
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fpn_jax.data.bitmaps import encode_rle, segmentation_rle
from fpn_jax.data.formats.coco import open_coco_file
from fpn_jax.data.sources import readable
from fpn_jax.evaluation.coco import BOXES, KEYPOINTS, MASKS, Measure, evaluate_results
from fpn_jax.evaluation.records import coco_ground_truth

HEIGHT, WIDTH = 120, 160
_OF_BOXES = "AP AP50 AP75 APs APm APl AR@1 AR@10 AR@100 ARs@100 ARm@100 ARl@100"
_OF_POINTS = "AP AP50 AP75 APm APl AR@20 AR50@20 AR75@20 ARm@20 ARl@20"
REPORTED = {"bbox": _OF_BOXES, "segm": _OF_BOXES, "keypoints": _OF_POINTS}
MEASURES = {"boxes": BOXES, "masks": MASKS, "keypoints": KEYPOINTS}


def random_file(seed: int) -> dict:
    """Up to 6 objects in each of 8 images, many of them partly outside; crowds."""
    rng = np.random.default_rng(seed)
    names = [f"point {n}" for n in range(17)]
    return {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "height": HEIGHT, "width": WIDTH}
            for n in rng.permutation(8).tolist()
        ],
        "categories": [
            {"id": n, "name": str(n), "keypoints": names} for n in (7, 3, 5)
        ],
        "annotations": [
            {"id": 11 * n + 1, "image_id": int(rng.integers(8))} | random_object(rng)
            for n in range(int(rng.integers(4, 40)))
        ],
    }


def random_object(rng: np.random.Generator) -> dict:
    low = rng.uniform(-30, 130, 2).clip(-30, [WIDTH - 2, HEIGHT - 2])
    sides = 2 ** rng.uniform(2, 7, 2)
    sides = np.maximum(sides, 1 - low)  # some of it is inside
    crowd = bool(rng.random() < 0.15)
    corners = low + sides * rng.uniform(0, 1, (5, 2))
    segmentation = [corners.ravel().tolist()]
    if crowd:
        rows, columns = np.ogrid[:HEIGHT, :WIDTH]
        segmentation = encode_rle((rows > low[1]) & (columns > low[0]))
    points = np.hstack([low + sides * rng.random((17, 2)), rng.integers(0, 3, (17, 1))])
    points *= (points[:, 2:] > 0) & (rng.random() < 0.8)
    return {
        "category_id": int(rng.choice([3, 5])),
        "bbox": [*low.tolist(), *sides.tolist()],
        "area": float(sides.prod() * rng.uniform(0.3, 1)),
        "iscrowd": int(crowd),
        "segmentation": segmentation,
        "keypoints": points.ravel().tolist(),
        "num_keypoints": int((points[:, 2] > 0).sum()),
    }


def random_results(content: dict, overlap: str, seed: int) -> list[dict]:
    """The objects, moved a little, and as many that are somewhere else."""
    rng = np.random.default_rng(seed)
    results = []
    for row in content["annotations"] * 2:
        shift = rng.normal(0, rng.choice([0, 2, 30]), 2)
        box = np.array(row["bbox"])
        box[:2] += shift
        result = {key: row[key] for key in ("image_id", "category_id")}
        result["score"] = round(float(rng.random()), 1)  # many are equal
        if overlap == "bbox":
            result["bbox"] = box.tolist()
        elif overlap == "segm":
            shape = row["segmentation"]
            if not row["iscrowd"]:
                shape = [(np.reshape(shape, (-1, 2)) + shift).ravel().tolist()]
            result["segmentation"] = segmentation_rle(shape, HEIGHT, WIDTH)
        else:
            points = np.reshape(row["keypoints"], (17, 3)).astype(float)
            points[:, :2] += shift
            result["keypoints"] = points.ravel().tolist()
        results.append(result)
    return results


def by_pycocotools(
    content: dict, results: list[dict], measure: Measure
) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        oracle = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), measure.overlap)
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
    names = REPORTED[measure.overlap].split()
    return {
        measure.prefix + name: float("nan") if value < 0 else value
        for name, value in zip(names, oracle.stats, strict=True)
    }


def by_file(
    content: dict, results: list[dict], measure: Measure, folder
) -> dict[str, float]:
    (folder / "annotations.json").write_text(json.dumps(content))
    source = open_coco_file(folder, masks=measure is MASKS)
    truth = coco_ground_truth(readable(source), source.categories, source.keypoint_spec)
    found = evaluate_results(truth, results, measure)
    return {name: value for name, value in found.items() if "/AP/" not in f"/{name}"}


def test_a_stated_number_of_keypoints_decides_which_objects_count(tmp_path):
    content = random_file(1)
    for number, row in enumerate(content["annotations"]):
        row["num_keypoints"] = (0, 5, row["num_keypoints"])[number % 3]
    results = random_results(content, "keypoints", 1)
    figures = by_file(content, results, KEYPOINTS, tmp_path)
    expected = by_pycocotools(content, results, KEYPOINTS)
    assert figures == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", MEASURES)
def test_figures_are_those_of_cocos_tool_on_the_same_file(name, seed, tmp_path):
    measure, content = MEASURES[name], random_file(seed)
    results = random_results(content, measure.overlap, seed)
    figures = by_file(content, results, measure, tmp_path)
    expected = by_pycocotools(content, results, measure)
    assert figures == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert 0 < figures[f"{measure.prefix}AP"] < 1


@pytest.mark.parametrize("seed", range(6))
def test_masks_without_areas_are_sized_by_their_pixels(seed, tmp_path):
    content = random_file(seed)
    results = random_results(content, "segm", seed)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO()
        theirs.dataset = copy.deepcopy(content)
        theirs.createIndex()
    for row, given in zip(
        theirs.dataset["annotations"], content["annotations"], strict=True
    ):
        row["area"] = float(coco_mask.area(theirs.annToRLE(row)))
        del given["area"]
    figures = by_file(content, results, MASKS, tmp_path)
    expected = by_pycocotools(theirs.dataset, results, MASKS)
    assert figures == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_the_file_is_what_results_are_compared_with_to_the_last_bit(tmp_path):
    content = random_file(0)
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    source = open_coco_file(tmp_path)
    truth = coco_ground_truth(readable(source), source.categories)
    fields = ("image_id", "category_id", "bbox", "area", "iscrowd", "keypoints")

    def objects(rows):
        return sorted([row[field] for field in fields] for row in rows)

    assert objects(truth["annotations"]) == objects(content["annotations"])
