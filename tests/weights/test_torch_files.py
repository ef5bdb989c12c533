"""Files of torch.save are read as torch reads them, and nothing in them is run."""

import pickle
import struct
import zipfile

import numpy as np
import pytest

from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.weights.checkpoint_contents import state_dict_in
from fpn_jax.weights.pickles import Unknown
from fpn_jax.weights.torch_files import read_torch_file
from tests.support.real import real

torch, _ = import_torchvision()

FORMS = pytest.mark.parametrize("zipped", [True, False])


def saved(path, content, zipped: bool = True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@FORMS
def test_every_view_of_a_storage_is_the_tensor_it_was(tmp_path, zipped):
    x = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "whole": x,
        "transposed": x.T,
        "part": x[1:, 2:4],
        "empty": x[:0],
        "number": x[2, 3],
        "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    back = read_torch_file(saved(tmp_path / "a.pth", tensors, zipped))
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor.numpy())
        assert back[name].shape == tensor.shape


@FORMS
@pytest.mark.parametrize(
    "dtype",
    ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8"]
    + ["bool", "uint16", "complex64"],
)
def test_every_type_is_numpys(tmp_path, dtype, zipped):
    tensor = torch.tensor([0, 1, 3]).to(getattr(torch, dtype))
    back = read_torch_file(saved(tmp_path / "a.pth", [tensor], zipped))
    np.testing.assert_array_equal(np.asarray(back[0]), tensor.numpy(), strict=True)


@FORMS
@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_types_that_numpy_lacks_keep_their_values(tmp_path, dtype, zipped):
    tensor = torch.tensor([0.3125, -2.0]).to(getattr(torch, dtype))
    back = read_torch_file(saved(tmp_path / "a.pth", [tensor], zipped))
    np.testing.assert_array_equal(back[0].astype(np.float32), [0.3125, -2.0])


@FORMS
def test_parameters_and_what_lies_beside_them_are_read(tmp_path, zipped):
    weight = torch.nn.Parameter(torch.ones(2))
    adam = torch.optim.Adam([weight])
    weight.grad = torch.ones(2)
    adam.step()
    content = {
        "weight": weight,
        "optimizer": adam.state_dict(),
        "adam": adam,  # its state is a dictionary whose keys are tensors
        "random": np.random.default_rng(0),
        "device": torch.device("cpu"),
        "best": np.float64(0.3),
        "classes": {"cat", "dog"},
    }
    back = read_torch_file(saved(tmp_path / "a.pth", content, zipped))
    np.testing.assert_array_equal(back["weight"], weight.detach().numpy())
    assert back["best"] == 0.3 and back["classes"] == {"cat", "dog"}
    assert f"{type(back['adam'])}" == "<class 'torch.optim.adam.Adam'>"
    assert isinstance(back["adam"], Unknown)


def test_a_plain_pickle_of_tensors_is_read(tmp_path):
    (tmp_path / "a.pth").write_bytes(pickle.dumps({"a": torch.ones(2)}))
    np.testing.assert_array_equal(read_torch_file(tmp_path / "a.pth")["a"], [1, 1])
    (tmp_path / "a.pth").write_bytes(pickle.dumps(np.ones(2)))
    np.testing.assert_array_equal(read_torch_file(tmp_path / "a.pth"), [1, 1])


class Calls:
    """Opens a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@FORMS
def test_nothing_in_a_file_is_called(tmp_path, zipped):
    ran = tmp_path / "ran"
    content = {"a": torch.ones(2), "b": Calls(ran), Calls(ran): 1}
    path = saved(tmp_path / "a.pth", content, zipped)
    np.testing.assert_array_equal(read_torch_file(path)["a"], [1, 1])
    assert not ran.exists()
    torch.load(path, weights_only=False)["b"].close()  # what it would have done
    assert ran.exists()


@pytest.mark.parametrize(
    "content, said",
    [
        (b"not weights at all", "not written it, it begins with b'not weights at a'"),
        (b"PK\x03\x04 and no more", "it is broken or cut off"),
    ],
)
def test_other_files_are_told_by_what_they_begin_with(tmp_path, content, said):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_torch_file(tmp_path / "a.pth")


@FORMS
def test_a_file_that_is_cut_off_is_refused(tmp_path, zipped):
    path = saved(tmp_path / "a.pth", {"a": torch.ones(1000)}, zipped)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="cut off"):
        read_torch_file(path)


@pytest.mark.parametrize(
    "entry, said",
    [
        ("a/constants.pkl", r"TorchScript program; save the state_dict\(\)"),
        ("images/0.txt", "zip archive that torch.save has not written"),
    ],
)
def test_archives_of_programs_and_of_others_are_refused(tmp_path, entry, said):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr(entry, "content")
    with pytest.raises(ValueError, match=said):
        read_torch_file(tmp_path / "a.pt")


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    path = saved(tmp_path / "a.pth", {"a": torch.ones(5)})
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    assert entries["a/data.pkl"].count(b"K\x05\x85") == 1  # the size (5,)
    entries["a/data.pkl"] = entries["a/data.pkl"].replace(b"K\x05\x85", b"K\x06\x85")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match=r"size \(6,\) is larger than its storage"):
        read_torch_file(path)


def test_a_number_of_an_object_beyond_the_file_needs_no_memory(tmp_path):
    # LONG_BINPUT 2**31 - 1: the reader would make room for as many objects.
    broken = b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b"."
    (tmp_path / "a.pth").write_bytes(broken)
    with pytest.raises(pickle.UnpicklingError, match="numbers an object 2147483647"):
        read_torch_file(tmp_path / "a.pth")


@pytest.mark.real
@pytest.mark.parametrize(
    "name, tensors",
    [("mobilenet_v2-b0353104.pth", 314), ("yolox_nano_coco.pth", 642)],
)
def test_released_files_are_read_bit_by_bit(name, tensors):
    # The first is of the older form, the second of the newer, under "model".
    file = real(name)
    wanted = torch.load(file, weights_only=True)
    found = state_dict_in(read_torch_file(file))
    wanted = wanted.get("model", wanted)
    assert found.keys() == wanted.keys() and len(found) == tensors
    for key, tensor in wanted.items():
        np.testing.assert_array_equal(found[key], tensor.numpy(), strict=True)
