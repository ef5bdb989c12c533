"""The real loggers, offline: the same numbers as metrics.jsonl, over a resumption."""

import json
import signal
import struct
from pathlib import Path

import numpy as np
import pytest

from fpn_jax.loggers.contract import Opened, check_installed, patient
from fpn_jax.training import run_loggers
from fpn_jax.training.config import Config, TrainConfig
from fpn_jax.training.ending import Stopped
from fpn_jax.training.metrics import MetricWriter, closing, read_metrics
from fpn_jax.training.run_loggers import open_loggers

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
ROWS = [(2, {"loss": 1.5, "AR@100": float("nan")}), (4, {"loss": 1.25, "AR@100": 0.5})]


def written(run: Path, name: str) -> None:
    """Writes two steps, goes on from the first one, and writes the second once more."""
    config = Config(train=TrainConfig(loggers=(name,), steps=4))
    for first in (0, 2):
        writer = MetricWriter(run, first_step=first, loggers=open_loggers(config, run))
        for step, numbers in ROWS:
            if step > first:
                writer.write(step, numbers)
                writer.picture(step, "samples", PICTURE)
        writer.close()


def expected(run: Path) -> list[tuple[int, str, float]]:
    return [
        (row["step"], name, value)
        for row in read_metrics(run)
        for name, value in row.items()
        if name != "step" and value is not None
    ]


def test_mlflow_has_the_numbers_of_the_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()

    written(tmp_path / "run", "mlflow")

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("fpn_jax")
    (run,) = client.search_runs([experiment.experiment_id])  # one, though opened twice
    found = [
        (metric.step, name.replace("AR_100", "AR@100"), metric.value)
        for name in ("loss", "AR_100")
        for metric in client.get_metric_history(run.info.run_id, name)
    ]
    assert set(found) == set(expected(tmp_path / "run"))
    assert run.data.params["train.steps"] == "4" and run.info.status == "FINISHED"
    assert run.data.params["model.neck.channels"] == "64"
    assert client.list_artifacts(run.info.run_id, "images")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Stopped(3, signal.SIGTERM), "KILLED"),
        (FloatingPointError("loss is nan"), "FAILED"),
    ],
)
def test_mlflow_knows_how_a_run_ended(error, status, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    config = Config(train=TrainConfig(loggers=("mlflow",)))
    loggers = open_loggers(config, tmp_path)
    writer = MetricWriter(tmp_path, loggers=loggers)
    with pytest.raises(type(error)), closing(writer):
        raise error
    known = json.loads((tmp_path / "loggers.json").read_text())["mlflow"]
    assert mlflow.MlflowClient().get_run(known).info.status == status


def test_a_logger_that_refuses_leaves_the_others_closed_and_known(
    tmp_path, monkeypatch
):
    endings = []

    class Open:
        def close(self, ending):
            endings.append(ending)

    def refuse(run, settings, known):
        raise ValueError("train.loggers: mlflow: no")

    openers = {"wandb": lambda *_: Opened(Open(), "id of it"), "mlflow": refuse}
    monkeypatch.setattr(run_loggers, "opener", openers.__getitem__)
    config = Config(train=TrainConfig(loggers=("wandb", "mlflow")))
    with pytest.raises(ValueError, match="mlflow: no"):
        open_loggers(config, tmp_path)
    assert endings == ["failed"]
    known = json.loads((tmp_path / "loggers.json").read_text())
    assert known == {"wandb": "id of it"}


def test_weights_and_biases_has_the_numbers_of_the_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")

    written(tmp_path, "wandb")

    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2 and len({file.name for file in files}) == 1  # one run's id
    found = [row for file in files for row in history(file)]
    assert set(found) == set(expected(tmp_path))
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/samples_4_*.png"))


def history(file: Path) -> list[tuple[int, str, float]]:
    """Reads the numbers of a file of Weights & Biases: a log in LevelDB's format."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, record, found = file.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            message, record = Record.FromString(record), b""
            items = {
                item.key or "/".join(item.nested_key): item.value_json
                for item in message.history.item
            }
            step = int(items.get("_step", message.history.step.num))
            found += [
                (step, name, float(items[name]))
                for name in ("loss", "AR@100")
                if name in items
            ]
    return found


def test_a_logger_that_fails_stops_with_one_line_and_the_run_goes_on(caplog):
    class Unreachable:
        tried = 0

        def numbers(self, step, values):
            self.tried += 1
            raise ConnectionError("no route to host\nmore of it")

        def picture(self, step, name, image):
            raise AssertionError("nothing more is sent")

        def close(self, ending):
            raise AssertionError("nothing more is sent")

    broken = Unreachable()
    logger = patient("wandb", broken)
    for step in (1, 2):
        logger.numbers(step, {"loss": 1.0})
    logger.picture(2, "samples", PICTURE)
    logger.close("finished")
    assert broken.tried == 1
    assert [record.getMessage() for record in caplog.records] == [
        "wandb gets nothing more of this run, which goes on: no route to host"
    ]


def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch):
    import fpn_jax.loggers.contract as contract

    monkeypatch.setattr(contract, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'fpn-jax\[mlflow\]'"):
        check_installed(("mlflow",))


def test_the_numbers_are_in_tensorboard_with_the_pictures(tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    writer = MetricWriter(tmp_path)
    for step, numbers in ROWS:
        writer.write(step, numbers)
    writer.picture(4, "samples", PICTURE)
    writer.close()

    (file,) = (tmp_path / "events").iterdir()
    data, place, found, pictures = file.read_bytes(), 0, [], []
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        event = Event.FromString(data[place + 12 : place + 12 + length])
        place += 16 + length
        for value in event.summary.value:
            if value.HasField("image"):
                pictures.append((event.step, value.tag))
            else:
                name = value.tag.replace("AR_100", "AR@100")  # its own rule
                found.append((event.step, name, value.simple_value))
    assert sorted(found) == sorted(expected(tmp_path))
    assert pictures == [(4, "samples")]
