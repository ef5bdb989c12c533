"""Pickles of arrays from every protocol; one that wants more is refused, not run."""

import codecs
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from fpn_jax.weights.pickles import load_pickle


def write(path, content, protocol: int = pickle.DEFAULT_PROTOCOL):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_in_containers_come_back_bit_by_bit(tmp_path, protocol):
    array = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    content = {
        "model": OrderedDict(a=array, b=array.T, c=np.arange(3)),
        "__author__": "someone",
        "matching_heuristics": True,
        "scale": np.float64(0.1),
        "empty": np.zeros((0, 4), np.float16),
    }
    back = load_pickle(write(tmp_path / "a.pkl", content, protocol))
    assert back.keys() == content.keys() and list(back["model"]) == ["a", "b", "c"]
    for name, expected in content["model"].items():
        np.testing.assert_array_equal(back["model"][name], expected)
        assert back["model"][name].dtype == expected.dtype
    assert back["scale"] == 0.1 and back["empty"].shape == (0, 4)


def test_the_names_of_older_numpy_are_those_of_the_newer(tmp_path):
    pickled = pickle.dumps(np.arange(3), protocol=2)
    older = pickled.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "a.pkl").write_bytes(older)
    np.testing.assert_array_equal(load_pickle(tmp_path / "a.pkl"), np.arange(3))


class Malicious:
    """Runs a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_pickle_that_calls_a_function_is_refused_and_does_not_run(tmp_path):
    ran = tmp_path / "ran"
    weights = {"model": {"a": Malicious(exec, f"open({str(ran)!r}, 'w')")}}
    path = write(tmp_path / "a.pkl", weights)
    with pytest.raises(ValueError, match="it names builtins.exec, which is refused$"):
        load_pickle(path)
    assert not ran.exists()
    pickle.loads(path.read_bytes())  # what it would have done
    assert ran.exists()


@pytest.mark.parametrize(
    "function, arguments, name",
    [
        (eval, ("1",), "builtins.eval"),
        (getattr, (np.ndarray, "tofile"), "builtins.getattr"),
        (np.load, ("a.npy",), r"numpy\.load"),
        (__import__, ("os",), "builtins.__import__"),
    ],
)
def test_every_other_name_is_refused_in_one_line(tmp_path, function, arguments, name):
    path = write(tmp_path / "a.pkl", Malicious(function, *arguments))
    with pytest.raises(ValueError, match=f"names {name}, which is refused$"):
        load_pickle(path)


def test_other_codecs_than_latin1_are_refused(tmp_path):
    encode = Malicious(codecs.encode, "text", "rot13")
    with pytest.raises(ValueError, match="encoded as rot13, not latin1"):
        load_pickle(write(tmp_path / "a.pkl", encode))


def test_broken_and_missing_files_are_one_line(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"not a pickle")
    with pytest.raises(ValueError, match=r"path .* is not a readable pickle .*"):
        load_pickle(tmp_path / "a.pkl")
    with pytest.raises(ValueError, match="path must be a file, got .*: there is none"):
        load_pickle(tmp_path / "b.pkl")


@pytest.mark.parametrize(
    "found, put",
    [
        pytest.param(b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00N", id="order"),
        pytest.param(b"X\x02\x00\x00\x00f4", b"X\x02\x00\x00\x00O8", id="addresses"),
        pytest.param(b"K\x04K\x03\x86", b"K\x64K\x64\x86", id="shape"),
    ],
)
def test_a_broken_array_is_one_line_and_does_not_end_the_process(tmp_path, found, put):
    pickled = pickle.dumps(np.ones((4, 3), np.float32), protocol=2)
    assert found in pickled
    (tmp_path / "a.pkl").write_bytes(pickled.replace(found, put))
    with pytest.raises(ValueError, match="is not a readable pickle of arrays: "):
        load_pickle(tmp_path / "a.pkl")
