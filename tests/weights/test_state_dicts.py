"""The table walked both ways, every misfit reported at once, and the files."""

import builtins
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.weights.state_dicts import (
    CONV,
    Rule,
    convert,
    export_state_dict,
    load_state_dict,
)

torch, _ = import_torchvision()

RULES = [
    Rule("layer{stage}.conv{i}.weight", "params/stage{stage}/conv{i}/kernel", CONV),
    Rule("layer{stage}.conv{i}.bias", "params/stage{stage}/conv{i}/bias"),
    Rule("old.{stage}.{i}.bias", "params/stage{stage}/conv{i}/bias"),
    Rule("fc.*", None),
]


def variables(*paths: str) -> dict:
    """Returns abstract variables of the given convolutions, 3x3, 2 to 5 channels."""
    tree = {}
    for path in paths:
        stage, conv = path.split("/")
        tree.setdefault(stage, {})[conv] = {
            "kernel": jax.ShapeDtypeStruct((3, 3, 2, 5), jnp.float32),
            "bias": jax.ShapeDtypeStruct((5,), jnp.float32),
        }
    return {"params": tree}


def state_dict(*names: str) -> dict[str, np.ndarray]:
    """Returns the tensors of the given convolutions, in torch's layout."""
    random = np.random.default_rng(0)
    return {
        f"{name}.{kind}": random.normal(size=shape).astype(np.float32)
        for name in names
        for kind, shape in (("weight", (5, 2, 3, 3)), ("bias", (5,)))
    }


def test_kernels_become_height_width_in_out():
    theirs = state_dict("layer1.conv1")
    ours = convert(theirs, RULES, variables("stage1/conv1"))
    kernel = ours["params"]["stage1"]["conv1"]["kernel"]
    assert kernel[0, 1, 1, 4] == theirs["layer1.conv1.weight"][4, 1, 0, 1]


def test_export_is_the_bitwise_inverse():
    theirs = state_dict("layer1.conv1", "layer1.conv12", "layer20.conv1")
    shapes = variables("stage1/conv1", "stage1/conv12", "stage20/conv1")
    back = export_state_dict(convert(theirs, RULES, shapes), RULES)
    assert back.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(back[name], array)


def test_ignored_names_and_old_names_are_accepted():
    theirs = state_dict("layer1.conv1") | {"fc.weight": np.ones((3, 3))}
    theirs["old.1.1.bias"] = theirs.pop("layer1.conv1.bias")
    ours = convert(theirs, RULES, variables("stage1/conv1"))
    np.testing.assert_array_equal(
        ours["params"]["stage1"]["conv1"]["bias"], theirs["old.1.1.bias"]
    )


def test_missing_unknown_and_misshapen_are_reported_together():
    theirs = state_dict("layer1.conv1", "layer1.conv2")
    theirs["layer1.konv2.bias"] = theirs.pop("layer1.conv2.bias")
    theirs["layer1.conv1.weight"] = np.ones((5, 7, 3, 3), np.float32)
    with pytest.raises(ValueError) as error:
        convert(theirs, RULES, variables("stage1/conv1", "stage1/conv2"))
    assert str(error.value).split("\n") == [
        "state_dict does not fit the model: 1 missing, 1 unknown, 1 of another shape",
        "  missing layer1.conv2.bias (nearest: layer1.konv2.bias)",
        "  unknown layer1.konv2.bias (nearest: layer1.conv2.bias)",
        "  shape of layer1.conv1.weight is (5, 7, 3, 3), must be (5, 2, 3, 3)",
    ]


def test_a_tensor_of_another_rank_is_misshapen():
    theirs = state_dict("layer1.conv1")
    theirs["layer1.conv1.weight"] = np.ones((5, 2), np.float32)
    with pytest.raises(ValueError, match=r"is \(5, 2\), must be \(5, 2, 3, 3\)"):
        convert(theirs, RULES, variables("stage1/conv1"))


def test_the_same_tensor_under_two_names_is_refused():
    theirs = state_dict("layer1.conv1")
    theirs["old.1.1.bias"] = theirs["layer1.conv1.bias"]
    with pytest.raises(ValueError, match="unknown old.1.1.bias"):
        convert(theirs, RULES, variables("stage1/conv1"))


def test_a_dot_in_a_rule_is_a_dot():
    theirs = state_dict("layer1.conv1")
    theirs["layer1xconv1.weight"] = theirs.pop("layer1.conv1.weight")
    with pytest.raises(ValueError, match="1 missing, 1 unknown"):
        convert(theirs, RULES, variables("stage1/conv1"))


def test_a_variable_without_a_row_cannot_be_exported():
    with pytest.raises(ValueError, match="no row for the variable params/head/bias"):
        export_state_dict({"params": {"head": {"bias": np.ones(3)}}}, RULES)


def write(path, tensors: dict) -> None:
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(tensors, path)
    else:
        torch.save(tensors, path)


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.safetensors"])
def test_all_file_types_hold_the_same(tmp_path, name):
    tensors = {"a": torch.randn(2, 3), "b.num": torch.tensor(7)}
    write(tmp_path / name, tensors)
    loaded = load_state_dict(tmp_path / name)
    assert loaded.keys() == tensors.keys()
    for key, tensor in tensors.items():
        np.testing.assert_array_equal(loaded[key], tensor.numpy(), strict=True)


def test_a_training_checkpoint_is_opened(tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "a.pth")
    assert list(load_state_dict(tmp_path / "a.pth")) == ["a"]


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_broken_file_is_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(ValueError) as error:
        load_state_dict(tmp_path / name)
    assert re.fullmatch(r"path .* is not a readable state dict: .*", str(error.value))


def test_what_is_not_a_state_dict_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="epoch is a int, not a tensor"):
        load_state_dict(tmp_path / "a.pth")
    torch.save([torch.ones(2)], tmp_path / "a.pth")
    with pytest.raises(ValueError, match="it holds a list"):
        load_state_dict(tmp_path / "a.pth")


def test_a_missing_file_names_its_nearest_neighbor(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "resnet50.pth")
    with pytest.raises(ValueError, match=r"there is none \(nearest: resnet50.pth\)"):
        load_state_dict(tmp_path / "resnet5.pth")


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"one of '.pth', '.pt', '.safetensors', got"):
        load_state_dict(tmp_path / "weights.pkl")


def test_without_torch_the_error_says_what_to_install(tmp_path, monkeypatch):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    real_import = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(ValueError, match="needs the package 'torch': pip install"):
        load_state_dict(tmp_path / "a.pth")
