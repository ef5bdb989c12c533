import json

import cv2

from fpn_jax.data.sources import readable
from fpn_jax.evaluation.coco import coco_ground_truth, evaluate_proposals
from fpn_jax.training.metrics import MetricWriter
from fpn_jax.training.report import write_report
from tests.grey_source import GreySource


def test_a_report_leaves_out_an_unreadable_image_and_sizes_that_do_not_exist(tmp_path):
    source = GreySource(14, unreadable=(0, 3))
    truth = coco_ground_truth(readable(source), source.categories)
    box = {"category_id": 1, "bbox": [5.0, 5.0, 20.0, 20.0]}
    results = [{**box, "image_id": n, "score": 0.1 * n} for n in (1, 9)]
    # Every object is small; what a run writes of medium and large ones is null.
    writer = MetricWriter(tmp_path)
    writer.write(1, evaluate_proposals(truth, results))
    writer.close()

    write_report(tmp_path, source, truth, results)

    assert json.loads((tmp_path / "predictions.json").read_text()) == results
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == {
        *("losses", "average_recall", "precision_recall", "samples")
    }
    samples = cv2.imread(str(tmp_path / "plots" / "samples.png"))
    rows, columns = 3, 4  # the 12 readable images fill the grid
    panels = samples.reshape(rows, 484, columns, 484, 3).swapaxes(1, 2)
    panels = panels.reshape(rows * columns, 484, 484, 3)
    centres = panels[:, 240, 400]  # away from boxes and tags
    assert (centres == 128).all()
    # Image 9, the eighth readable one, has the only box above the score that is shown.
    different = [n for n, panel in enumerate(panels) if (panel != panels[11]).any()]
    assert different == [7]
