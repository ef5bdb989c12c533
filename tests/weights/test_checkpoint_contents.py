"""Weights are found under the names that people give them."""

import argparse

import numpy as np
import pytest

from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.weights.checkpoint_contents import state_dict_in
from fpn_jax.weights.pickles import Unknown
from fpn_jax.weights.state_dicts import load_state_dict

torch, _ = import_torchvision()

ONE = np.ones(2, np.float32)
WEIGHTS = {"conv.weight": ONE, "conv.bias": ONE}
OPTIMIZER = {"state": {0: {"exp_avg": ONE}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize(
    "name",
    ["model", "state_dict", "model_state_dict", "ema", "net", "weights", "my_detector"],
)
def test_weights_are_found_under_any_name(name):
    content = {"epoch": 3, "optimizer": OPTIMIZER, name: WEIGHTS, "random": ONE}
    assert state_dict_in(content).keys() == WEIGHTS.keys()


def test_the_average_comes_before_the_weights_and_both_before_others(caplog):
    def found(*names: str) -> float:
        content = {
            name: {"conv.weight": np.full(1, i)} for i, name in enumerate(names, 1)
        }
        return state_dict_in(content)["conv.weight"]

    assert found("teacher", "model_ema") == 2
    assert found("model_state_dict", "state_dict") == 2
    assert found("schema", "model") == 2  # no average, though "ema" is in it
    assert not caplog.messages
    for names in (("model", "ema"), ("state_dict", "state_dict_ema"), ("net", "EMA")):
        assert found(*names) == 2
        (line,) = caplog.messages
        assert line.endswith(f"{names[1]!r} is taken") and repr(names[0]) in line
        caplog.clear()


def test_the_average_of_torchvisions_references_is_taken():
    average = {"module.conv.weight": ONE, "module.conv.bias": ONE * 2}
    content = {"model": WEIGHTS, "model_ema": {"n_averaged": np.int64(7), **average}}
    assert state_dict_in(content).keys() == average.keys()


def test_an_average_without_all_tensors_is_none(caplog):
    content = {"model": WEIGHTS, "ema": {"conv.weight": ONE * 2}}
    np.testing.assert_array_equal(state_dict_in(content)["conv.weight"], ONE)
    assert caplog.messages[0].endswith("'model' is taken")
    for nothing in (None, {"decay": 0.99, "updates": 7}):
        assert state_dict_in({"model": WEIGHTS, "ema": nothing}).keys() == (
            WEIGHTS.keys()
        )
    assert len(caplog.messages) == 1


def test_names_without_a_dot_are_weights_under_a_usual_name_only():
    assert list(state_dict_in({"model": {"w": ONE}, "epoch": 3})) == ["w"]
    assert list(state_dict_in({"w": ONE})) == ["w"]
    with pytest.raises(ValueError, match="no weights by name"):
        state_dict_in({"optimizer": {"step": ONE}})


def test_weights_are_found_in_a_list():
    assert state_dict_in([WEIGHTS, OPTIMIZER]).keys() == WEIGHTS.keys()
    assert state_dict_in((3, WEIGHTS)).keys() == WEIGHTS.keys()


def test_what_wrappers_put_into_names_is_left_out():
    wrapped = {
        "_orig_mod.body._orig_mod.weight": ONE,
        "head._fsdp_wrapped_module.bias": ONE,
        "n_averaged": np.int64(7),
    }
    assert list(state_dict_in(wrapped)) == ["body.weight", "head.bias"]


class Toy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
        self.norm = torch.nn.BatchNorm1d(3)
        self.register_buffer("grid", torch.ones(4), persistent=False)
        self.register_buffer("scale", torch.ones(1))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"ema": x, "epoch": 3}])
def test_a_whole_model_is_its_state_dict(tmp_path, wrap, zipped):
    toy = Toy()
    path = tmp_path / "toy.pt"
    torch.save(wrap(toy), path, _use_new_zipfile_serialization=zipped)
    loaded = load_state_dict(path)
    assert loaded.keys() == toy.state_dict().keys()
    for name, tensor in toy.state_dict().items():
        np.testing.assert_array_equal(loaded[name], tensor.numpy(), strict=True)


def test_a_checkpoint_of_a_training_of_torchvision_is_opened(tmp_path):
    content = {
        "model": {"conv.weight": torch.ones(2)},
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}},
        "args": argparse.Namespace(lr=0.02, data_path="/coco"),
        "best": np.float64(0.3),
        "epoch": 25,
    }
    torch.save(content, tmp_path / "model_25.pth")
    loaded = load_state_dict(tmp_path / "model_25.pth")
    assert list(loaded) == ["conv.weight"]
    np.testing.assert_array_equal(loaded["conv.weight"], ONE, strict=True)


@pytest.mark.parametrize(
    "content, said",
    [
        ({"epoch": 3, "best": 0.5}, r"a dict of 'epoch' \(int\), 'best' \(float\) and"),
        ({n: n for n in range(20)}, r"7 \(int\) and 12 more and no weights by name"),
        ([ONE], "it holds a list and"),
        (ONE, "it holds one tensor and"),
        ({}, "it holds an empty dict and"),
        (type("Net", (Unknown,), {"__module__": "my"})(), "an object of my.Net and"),
        ({"a.b": ONE.astype(complex)}, "a.b is of complex128, not of floats"),
    ],
)
def test_what_holds_no_weights_is_described(content, said):
    with pytest.raises(ValueError, match=said):
        state_dict_in(content)
