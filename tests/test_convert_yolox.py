"""A training checkpoint of YOLOX's code: to a run, used, trained, and back."""

import json

import numpy as np
import pytest

from fpn_jax.convert import main
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.training.run import load_run
from fpn_jax.weights.state_dicts import load_state_dict
from tests.support import yolox_twin

torch, _ = import_torchvision()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny one of one class, as its training leaves it."""
    torch.manual_seed(0)
    model = yolox_twin.lively(yolox_twin.YOLOX(1, 0.33, 0.375))
    for number, module in enumerate(model.modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            module.num_batches_tracked += number
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    model(torch.zeros(2, 3, 64, 64))[0].sum().backward()
    optimizer.step()
    path = tmp_path_factory.mktemp("weights") / "best_ckpt.pth"
    content = {
        "start_epoch": 300,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best_ap": 0.5,
        "curr_ap": 0.4,
    }
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def run(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["yolox", "yolox_tiny", str(checkpoint), str(out)]) == 0
    return out


def test_a_run_has_the_classes_and_the_input_rule(run):
    loaded = load_run(run)
    model, data = loaded.config.model, loaded.config.data
    assert model.num_classes == 1
    assert [category.name for category in loaded.categories] == ["class 1"]
    assert (data.canvas, data.box_scale) == ((416, 416), "common")
    assert (model.channel_order, model.padding_value) == ("bgr", 114)
    assert model.image_mean == (0, 0, 0)
    np.testing.assert_allclose(np.multiply(model.image_std, 255), 1)


def test_the_weights_come_back_where_the_released_code_looks(run, checkpoint, tmp_path):
    back = tmp_path / "back.pth"
    assert main(["export", str(run), str(back)]) == 0
    content = torch.load(back, weights_only=True)
    assert list(content) == ["model"]
    given = torch.load(checkpoint, weights_only=True)["model"]
    assert list(content["model"]) == list(given) and len(given) == 462
    for name, tensor in given.items():
        got = content["model"][name]
        assert got.dtype == tensor.dtype and torch.equal(got, tensor)
    yolox_twin.YOLOX(1, 0.33, 0.375).load_state_dict(content["model"], strict=True)
    flat = tmp_path / "back.safetensors"
    assert main(["export", str(run), str(flat)]) == 0
    assert load_state_dict(flat).keys() == given.keys()


def test_frozen_norms_are_asked_for(checkpoint, tmp_path):
    out = tmp_path / "frozen"
    arguments = ["yolox", "yolox_tiny", str(checkpoint), str(out), "--norm", "frozen"]
    assert main(arguments) == 0
    tree = json.loads((out / "config.json").read_text())["model"]
    assert {tree[part]["norm"] for part in ("backbone", "neck", "head")} == {"frozen"}


@pytest.mark.parametrize(
    "model, message",
    [
        ("yolox_s", "model: 'yolox_s' given, the file is of yolox_tiny"),
        ("yolox_n", "model must be one of 'yolox_nano', 'yolox_tiny', 'yolox_s', "),
    ],
)
def test_another_model_than_the_files_is_one_line(
    model, message, checkpoint, tmp_path, capfd
):
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as stopped:
        main(["yolox", model, str(checkpoint), str(out)])
    assert stopped.value.code == 2 and not out.exists()
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert message in line
