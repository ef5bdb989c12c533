"""Published models by name: converted once, and what every command takes."""

import dataclasses
import hashlib
import shutil
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.convert import main as convert
from fpn_jax.data.example import Category
from fpn_jax.detectors.feature_extractor import FeatureExtractor
from fpn_jax.evaluate import main as evaluate
from fpn_jax.inference import load
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.predict import main as predict
from fpn_jax.training import published
from fpn_jax.training.config import Config, DataConfig, TrainConfig
from fpn_jax.training.loop import train
from fpn_jax.training.pretrained import check_pretrained, check_published
from fpn_jax.training.published import pretrained_place, run_directory
from fpn_jax.training.run import Run, load_run, save_run
from fpn_jax.weights.models.cache import PLACE, model_folder
from fpn_jax.weights.models.checks import MEBIBYTE
from fpn_jax.weights.models.table import MODELS
from tests.support.tiny_detectors import CLASSES, DETECTORS
from tests.support.weights_server import serving

torch, torchvision = import_torchvision()

REAL = "fasterrcnn_mobilenet_v3_large_320_fpn"
TINY = {
    "tiny_detector": DETECTORS["faster"],
    "tiny_backbone": FeatureExtractor(Dummy()),
}


def content(number: int) -> bytes:
    """Returns a file of a tiny model, whose weights are all this number."""
    return b"\x80" + bytes([number])


def convert_tiny(entry, file, out) -> None:
    """Makes a run whose weights are all the number in a file."""
    model = TINY[entry.model]
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    number = file.read_bytes()[1]
    if number > 9:
        raise ValueError(f"state_dict does not fit the model: {number}")
    shapes = jax.eval_shape(model.init, jax.random.key(0), images, sizes)
    variables = jax.tree.map(lambda x: np.full(x.shape, number, x.dtype), shapes)
    config = Config(model=model, data=DataConfig(canvas=(64, 64)))
    categories = tuple(Category(i, f"class {i}") for i in range(CLASSES))
    save_run(out, Run(config, variables, 0, categories))


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Publishes two tiny models, whose files are in a directory; the cache is empty."""
    place = tmp_path / "files"
    place.mkdir()
    for name, task in (("tiny_detector", "boxes"), ("tiny_backbone", "classes")):
        row = dataclasses.replace(
            MODELS["resnet18"],
            name=name,
            model=name,
            source="tiny",
            task=task,
            url=f"https://nowhere.example/{name}.pth",
            digest="sha256:" + hashlib.sha256(content(3)).hexdigest()[:8],
            mebibytes=None,
        )
        monkeypatch.setitem(MODELS, name, row)
        (place / row.file).write_bytes(content(3))
    monkeypatch.setitem(published.CONVERSIONS, "tiny", convert_tiny)
    zoo = {name: lambda m=model: m for name, model in TINY.items()}
    monkeypatch.setitem(published.ZOOS, "tiny", zoo)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(PLACE, str(place))
    return place


def number_of(run) -> float:
    """Returns the number that all weights of a run are."""
    (number,) = np.unique(
        load_run(run).variables["params"]["box_head"]["fc6"]["kernel"]
    )
    return float(number)


def test_a_model_is_converted_once_and_then_needs_no_file(monkeypatch):
    run = run_directory("tiny_detector")
    assert number_of(run) == 3
    monkeypatch.setenv(PLACE, "/nowhere")
    assert run_directory("tiny_detector") == run
    assert load("tiny_detector").canvas == (64, 64)
    kept = {path.name for path in model_folder(MODELS["tiny_detector"]).iterdir()}
    assert kept == {run.name, "lock"}


def test_two_that_want_a_model_have_it_converted_once(monkeypatch):
    calls, runs = [], []

    def convert_slowly(*arguments):
        calls.append(arguments)
        time.sleep(0.2)
        convert_tiny(*arguments)

    def want():
        runs.append(run_directory("tiny_detector"))

    monkeypatch.setitem(published.CONVERSIONS, "tiny", convert_slowly)
    threads = [threading.Thread(target=want) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and len(runs) == 2 and runs[0] == runs[1]


def test_a_conversion_that_was_killed_leaves_nothing_that_is_used():
    begun = model_folder(MODELS["tiny_detector"]) / ".run.new"
    begun.mkdir(parents=True)
    (begun / "config.json").write_text("half a config")
    assert number_of(run_directory("tiny_detector")) == 3
    assert not begun.exists()


def test_where_the_architecture_has_changed_it_is_converted_anew(files, monkeypatch):
    run = run_directory("tiny_detector")
    other = DETECTORS["faster"].clone(image_std=(1.0, 1.0, 1.0))
    monkeypatch.setitem(published.ZOOS, "tiny", {"tiny_detector": lambda: other})
    assert run_directory("tiny_detector") != run and run.exists()


def test_a_file_without_a_digest_that_is_no_such_model_goes(monkeypatch):
    with serving(content(13)) as server:
        row = MODELS["tiny_detector"]
        row = dataclasses.replace(row, digest=None, url=f"{server.url}/{row.file}")
        monkeypatch.setitem(MODELS, row.name, row)
        monkeypatch.delenv(PLACE)
        with pytest.raises(ValueError, match="tiny_detector: state_dict does not fit"):
            run_directory(row.name)
        assert [p.name for p in model_folder(row).iterdir()] == ["lock"]
        server.content = content(4)
        assert number_of(run_directory(row.name)) == 4


def test_convert_takes_a_name(tmp_path, capsys):
    assert convert(["tiny_detector", str(tmp_path / "out")]) == 0
    assert number_of(tmp_path / "out") == 3
    with pytest.raises(SystemExit):
        convert(["tiny_detector", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        convert(["fasterrcnn_resnet50_fnp", str(tmp_path / "other")])
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert first.endswith("holds a run; give another directory")
    assert "(nearest: 'fasterrcnn_resnet50_fpn')" in second


def test_convert_makes_a_run_of_torchvisions_file_by_name(files, tmp_path, monkeypatch):
    build = getattr(torchvision.models.detection, REAL)
    state_dict = build(weights=None, weights_backbone=None).state_dict()
    file = files / MODELS[REAL].file
    torch.save(state_dict, file)
    row = dataclasses.replace(
        MODELS[REAL],
        digest=f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}",
        mebibytes=round(file.stat().st_size / MEBIBYTE, 3),
    )
    monkeypatch.setitem(MODELS, REAL, row)
    assert convert([REAL, str(tmp_path / "out")]) == 0
    loaded = load_run(tmp_path / "out")
    assert loaded.config.data.canvas == (320, 640)
    np.testing.assert_array_equal(
        loaded.variables["params"]["box_head"]["fc7"]["kernel"],
        state_dict["roi_heads.box_head.fc7.weight"].numpy().T,
    )


def test_evaluate_and_predict_take_a_name(tmp_path, capsys):
    with pytest.raises(SystemExit):
        evaluate(["tiny_detector", "--data", str(tmp_path / "none")])
    assert "none" in capsys.readouterr().err  # the data: the model was found
    with pytest.raises(SystemExit):
        predict(["tiny_backbone", __file__, "--out", str(tmp_path / "out")])
    assert (
        "'tiny_backbone' holds a backbone, which detects nothing; train a detector "
        "from it by --train.pretrained tiny_backbone"
    ) in capsys.readouterr().err


def test_a_directory_of_the_name_goes_first(tmp_path, monkeypatch):
    shutil.copytree(run_directory("tiny_detector"), tmp_path / "tiny_detector")
    monkeypatch.chdir(tmp_path)
    assert Path(run_directory("tiny_detector")).resolve() == tmp_path / "tiny_detector"
    assert str(run_directory("some/where")) == "some/where"


@pytest.mark.parametrize(
    "name, words",
    [
        (
            "maskrcnn_resnet50_fnp",
            "no directory 'maskrcnn_resnet50_fnp', and no published model "
            "'maskrcnn_resnet50_fnp' (nearest: 'maskrcnn_resnet50_fpn'); fpn-jax "
            "models lists them",
        ),
        ("fcos_resnet50_fpn", "fcos_resnet50_fpn: no file 'fcos_resnet50_fpn_coco-"),
    ],
)
def test_a_name_that_leads_to_nothing_is_one_line(name, words):
    with pytest.raises(ValueError) as raised:
        load(name)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def config_of(*pretrained: str) -> Config:
    return Config(
        model=DETECTORS["faster"],
        data=DataConfig(canvas=(64, 64)),
        train=TrainConfig(pretrained=pretrained),
    )


def test_training_starts_from_names(files):
    # The file of a classifier suits every kind of norm.
    assert pretrained_place("tiny_backbone") == str(files / "tiny_backbone.pth")
    assert pretrained_place("tiny_detector") == str(run_directory("tiny_detector"))
    check_published(config_of("tiny_detector"))
    with pytest.raises(ValueError, match="no run or file of weights 'resnet19'"):
        check_pretrained(config_of("resnet19"))


def test_nothing_is_downloaded_before_the_data_is_found(files, tmp_path):
    shutil.rmtree(files)  # where a download would come from
    config = config_of("tiny_detector")
    place = str(tmp_path / "nowhere")
    data = dataclasses.replace(config.data, source=place, batch_size=8)
    with pytest.raises(ValueError, match="nowhere.* is neither"):
        train(dataclasses.replace(config, data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_several_processes_convert_nothing(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="fpn-jax convert tiny_detector OUT"):
        run_directory("tiny_detector")
