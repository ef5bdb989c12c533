import json
from types import SimpleNamespace

import cv2
import flax.linen as nn
import numpy as np
import pytest

from fpn_jax.data.bitmaps import encode_rle
from fpn_jax.data.example import Category
from fpn_jax.data.sources import readable
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.evaluation.coco import BOXES, MASKS, PROPOSALS, evaluate_results
from fpn_jax.evaluation.records import coco_ground_truth
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.config import Config, TrainConfig
from fpn_jax.training.metrics import MetricWriter
from fpn_jax.training.report import last_lines, write_curves, write_report
from tests.support.gray_source import GraySource

SOURCE = GraySource(14, unreadable=(0, 3))
BOX = {"category_id": 0, "bbox": [5.0, 5.0, 20.0, 20.0]}
CURVES = {"losses", "precision_recall", "samples"}


def reported(run, results, measures, categories=SOURCE.categories):
    """Returns the names of the plots and the panels of the samples, [12, 484, 484, 3].

    Every object is small; what a run writes of medium and large ones is null.
    """
    truth = coco_ground_truth(readable(SOURCE), SOURCE.categories)
    writer = MetricWriter(run)
    for measure in measures[:1]:
        writer.write(1, evaluate_results(truth, results, measure))
    writer.close()
    validation = SimpleNamespace(
        source=SOURCE,
        ground_truth=truth,
        results=results,
        measures=measures,
        categories=categories,
    )
    write_report(run, validation)
    assert json.loads((run / "predictions.json").read_text()) == results
    samples = cv2.imread(str(run / "plots" / "samples.png"))
    rows, columns = 3, 4  # the 12 readable images fill the grid
    panels = samples.reshape(rows, 484, columns, 484, 3).swapaxes(1, 2)
    names = {path.stem for path in (run / "plots").iterdir()}
    return names, panels.reshape(rows * columns, 484, 484, 3)


def different_panels(panels: np.ndarray) -> list[int]:
    return [n for n, panel in enumerate(panels) if (panel != panels[11]).any()]


def test_a_report_leaves_out_an_unreadable_image_and_sizes_that_do_not_exist(tmp_path):
    results = [
        {**BOX, "category_id": 1, "image_id": n, "score": 0.1 * n} for n in (1, 9)
    ]

    names, panels = reported(
        tmp_path, results, (PROPOSALS,), categories=(Category(1, "object"),)
    )

    assert names == CURVES | {"average_recall"}
    centers = panels[:, 240, 400]  # away from boxes and tags
    assert (centers == 128).all()
    # Image 9, the eighth readable one, has the only box above the score that is shown.
    assert different_panels(panels) == [7]


def test_the_report_of_a_detector_tells_its_classes_apart_and_shows_its_masks(tmp_path):
    bitmap = np.zeros((40, 40), bool)
    bitmap[5:25, 5:25] = True
    results = [
        {**BOX, "image_id": n, "score": score, "segmentation": encode_rle(bitmap)}
        for n, score in ((1, 0.4), (9, 0.6))
    ]
    # Without the wrong one F1 is higher: samples show scores above 0.4.
    results[0] = {**results[0], "bbox": [25.0, 25.0, 10.0, 10.0]}

    names, panels = reported(tmp_path, results, (BOXES, MASKS))

    further = {"average_precision", "precision_recall_by_class", "confusion", "f1"}
    assert names == CURVES | further
    assert different_panels(panels) == [7]
    inside = panels[7][80:280, 80:280]  # of the box, 12 times as large as in the image
    assert (inside != 128).any(axis=-1).all()


def test_a_run_that_goes_on_has_curves_also_before_its_first_evaluation(tmp_path):
    writer = MetricWriter(tmp_path)
    writer.write(1, {"loss": 2.0, "learning_rate": 0.1})
    validation = SimpleNamespace(measures=(BOXES,))
    write_curves(tmp_path, validation)
    plots = tmp_path / "plots"
    assert {path.name for path in plots.iterdir()} == {"losses.png"}
    writer.write(1, {"AP": 0.5, "AR@100": 0.6})
    writer.close()
    write_curves(tmp_path, validation)
    names = {"losses.png", "average_precision.png"}
    assert {path.name for path in plots.iterdir()} == names
    assert (tmp_path / "results.csv").read_text().splitlines() == [
        "step,loss,learning_rate,AP,AR@100",
        "1,2.0,0.1,0.5,0.6",
    ]


def test_the_last_lines_name_the_metric_the_best_checkpoint_and_what_is_next(tmp_path):
    writer = MetricWriter(tmp_path)
    for step, value in ((10, 0.5), (20, 0.25)):
        writer.write(step, {"loss": 1.0})
        writer.write(step, {"AP": value, "F1": value, "F1/threshold": 1 - value / 125})
    writer.close()
    config = Config(train=TrainConfig(steps=20))
    metrics = {"AP": 0.25, "F1": 0.25, "F1/threshold": 0.998}
    assert last_lines(tmp_path, config, metrics, 20, 10) == [
        f"AP 0.250 at step 20; the best checkpoint is {tmp_path}/checkpoints/best, "
        "of step 10, AP 0.500",
        f"metrics are in {tmp_path}/results.csv, plots of step 20 in {tmp_path}/plots",
        f"next: fpn-jax predict {tmp_path} IMAGE… --score-threshold 0.996",
    ]


class Own(nn.Module):
    """A backbone that is not of the package."""


def own_optimizer(steps): ...


@pytest.mark.parametrize(
    ("given", "consent"),
    [
        ({"model": OneStage(Own(), FPN(), FCOSHead(2))}, " --trust"),
        ({"optimizer": own_optimizer}, ""),  # which predict does not need
    ],
)
def test_the_next_command_has_the_consent_that_it_needs(tmp_path, given, consent):
    config = Config(**given)
    said = last_lines(tmp_path, config, {"AP": 0.5}, 10, 10)[-1]
    assert said == f"next: fpn-jax predict {tmp_path} IMAGE…{consent}"


def test_no_threshold_is_advised_where_nothing_is_to_be_found(tmp_path):
    writer = MetricWriter(tmp_path)
    missing = float("nan")
    writer.write(10, {"AP": missing, "F1": missing, "F1/threshold": missing})
    writer.close()
    lines = last_lines(tmp_path, Config(), {"AP": missing, "F1": missing}, 10, 10)
    assert lines[-1] == f"next: fpn-jax predict {tmp_path} IMAGE…"
