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
    save_state_dict,
    without_prefix,
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


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_broken_file_is_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(ValueError) as error:
        load_state_dict(tmp_path / name)
    assert re.fullmatch(r"path .* is not a readable state dict: .*", str(error.value))


def test_a_prefix_of_all_names_is_taken_off():
    theirs = state_dict("layer1.conv1", "layer1.conv2")
    shapes = variables("stage1/conv1", "stage1/conv2")
    for prefix in ("module.", "model.module.", "detector."):
        prefixed = {f"{prefix}{name}": array for name, array in theirs.items()}
        assert without_prefix(prefixed, RULES).keys() == theirs.keys()
        jax.tree.map(
            np.testing.assert_array_equal,
            convert(prefixed, RULES, shapes),
            convert(theirs, RULES, shapes),
        )


def test_a_module_that_all_tensors_are_in_is_no_prefix():
    # Both names are known as they are; "conv1.weight" is not.
    theirs = state_dict("layer1.conv1")
    assert without_prefix(theirs, RULES) is theirs


def test_one_name_of_ten_may_lack_the_prefix_and_is_told():
    names = [f"layer1.conv{i}" for i in range(1, 6)]
    theirs = {f"model.{name}": array for name, array in state_dict(*names).items()}
    theirs["criterion"] = np.ones(3, np.float32)
    with pytest.raises(ValueError) as error:
        convert(
            theirs, RULES, variables(*(n.replace("layer1.", "stage1/") for n in names))
        )
    assert str(error.value).split("\n") == [
        "state_dict does not fit the model: 0 missing, 1 unknown, 0 of another shape",
        "  unknown criterion",
    ]


def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="must be a file, got .*: it is a directory$"):
        load_state_dict(tmp_path)


@pytest.mark.parametrize("suffix", [".ckpt", ".bin", ".pth.tar", ".PTH"])
def test_other_suffixes_of_torchs_files_are_read(tmp_path, suffix):
    torch.save({"a": torch.ones(2)}, tmp_path / f"a{suffix}")
    assert list(load_state_dict(tmp_path / f"a{suffix}")) == ["a"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn"])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_half_precision_becomes_float32(tmp_path, name, dtype):
    # 0.3125 is 5 / 16, which each of the types holds.
    write(
        tmp_path / name, {"a": torch.tensor([0.3125, -2.0]).to(getattr(torch, dtype))}
    )
    expected = np.float32([0.3125, -2.0])
    loaded = load_state_dict(tmp_path / name)
    np.testing.assert_array_equal(loaded["a"], expected, strict=True)


@pytest.mark.parametrize(
    ("right", "wrong"), [("a.safetensors", "a.pth"), ("a.pth", "a.safetensors")]
)
def test_a_file_is_known_by_what_is_in_it(tmp_path, right, wrong):
    save_state_dict(state_dict("layer1.conv1"), tmp_path / right)
    (tmp_path / right).rename(tmp_path / wrong)
    loaded = load_state_dict(tmp_path / wrong)
    assert loaded.keys() == state_dict("layer1.conv1").keys()


def test_an_address_is_no_file():
    with pytest.raises(ValueError, match="https:.*: an address; download it$"):
        load_state_dict("https://a.b/c.pth")


def test_weights_that_are_not_finite_are_told(caplog):
    theirs = state_dict("layer1.conv1")
    convert(theirs, RULES, variables("stage1/conv1"))
    assert not caplog.messages
    theirs["layer1.conv1.bias"][3] = np.nan
    convert(theirs, RULES, variables("stage1/conv1"))
    assert caplog.messages[0].startswith(
        "1 of 2 tensors hold NaN or infinity, such as params/stage1/conv1/bias"
    )


def test_metadata_of_safetensors_is_no_tensor(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors", {"format": "pt"})
    assert list(load_state_dict(tmp_path / "a.safetensors")) == ["a"]


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "web page; the download has failed"),
    ],
)
def test_what_a_failed_download_left_is_told(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"not a readable state dict: .*{said}"):
        load_state_dict(tmp_path / name)


def test_a_missing_file_names_its_nearest_neighbor(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "resnet50.pth")
    with pytest.raises(ValueError, match=r"there is none \(nearest: resnet50.pth\)"):
        load_state_dict(tmp_path / "resnet5.pth")


def test_another_suffix_is_refused(tmp_path):
    (tmp_path / "weights.onnx").write_bytes(b"onnx")
    with pytest.raises(ValueError, match=r"one of '.pth', '.pt', '.safetensors', "):
        load_state_dict(tmp_path / "weights.onnx")


def test_torch_is_needed_to_write_its_files_but_not_to_read_them(tmp_path, monkeypatch):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    real_import = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    loaded = load_state_dict(tmp_path / "a.pth")
    np.testing.assert_array_equal(loaded["a"], np.ones(2, np.float32), strict=True)
    with pytest.raises(ValueError, match="needs the package 'torch'"):
        save_state_dict(loaded, tmp_path / "b.pth")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_file_that_cannot_be_written_is_one_line(tmp_path, name):
    weights = {"a": np.ones(2, np.float32)}
    with pytest.raises(ValueError, match="no directory '.*none'$"):
        save_state_dict(weights, tmp_path / "none" / name)
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="path .* cannot be written: "):
        save_state_dict(weights, tmp_path / name)
