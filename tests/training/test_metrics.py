"""metrics.jsonl over stops and resumptions."""

import math

from fpn_jax.training.metrics import MetricWriter, read_metrics


def test_rows_come_back_and_nan_is_null(tmp_path):
    writer = MetricWriter(tmp_path)
    writer.write(20, {"loss": 0.5})
    writer.write(40, {"loss": 0.25, "ARl@100": math.nan})
    writer.close()
    assert read_metrics(tmp_path) == [
        {"step": 20, "loss": 0.5},
        {"step": 40, "loss": 0.25, "ARl@100": None},
    ]
    assert list((tmp_path / "events").iterdir())


def test_a_resumed_run_drops_what_it_will_write_again(tmp_path):
    writer = MetricWriter(tmp_path)
    for step in (10, 20, 30):
        writer.write(step, {"loss": 1.0})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 35, "lo')  # killed while it wrote
    writer = MetricWriter(tmp_path, first_step=20)
    writer.write(30, {"loss": 2.0})
    writer.close()
    assert [(row["step"], row["loss"]) for row in read_metrics(tmp_path)] == [
        (10, 1.0),
        (20, 1.0),
        (30, 2.0),
    ]


def test_a_run_without_metrics_has_no_rows(tmp_path):
    assert read_metrics(tmp_path) == []
