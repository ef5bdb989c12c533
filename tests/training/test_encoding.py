"""Values of a config as JSON and back, and what cannot go that way."""

import enum
import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fpn_jax.training.config import Config
from fpn_jax.training.config_file import check_readable, from_json, to_json
from fpn_jax.training.encoding import decode, difference, encode, foreign_names


class Merge(enum.Enum):
    SUM = 1
    CONCAT = 2


@dataclass(frozen=True)
class Settings:
    value: Any = None


class Own(nn.Module):
    value: Any = None
    activation: Callable = nn.relu


@dataclass(frozen=True)
class Doubling:
    value: int = 1

    def __post_init__(self):
        object.__setattr__(self, "value", 2 * self.value)


def scaled(x, factor):
    return factor * x


def back(value):
    return decode(json.loads(json.dumps(encode(value))))


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 3, 0.5, "a", (), (1, ("b", None)), [1, (2, [3])]),
        {"a": 1, "class": (2,), "dict": {"function": "x"}},
        Merge.CONCAT,
        Settings(Merge.SUM),
        Own(value={"a": [1]}, activation=jnp.tanh),
        Settings(scaled),
        Settings(Own),
        Settings(jnp.bfloat16),
    ],
)
def test_what_json_can_carry_comes_back(value):
    assert back(value) == value


def test_a_partial_comes_back_as_one():
    found = back(functools.partial(scaled, factor=3))
    assert (found.func, found.args, found.keywords) == (scaled, (), {"factor": 3})


def test_fields_that_are_called_like_our_keys_are_fields():
    tree = encode(named := Named(function="os.system", dict=(1,)))
    assert foreign_names(tree) == (f"{__name__}.Named",)
    assert decode(tree) == named


@dataclass(frozen=True)
class Named:
    function: str = ""
    dict: tuple = ()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (nn.relu, "jax.nn.relu"),
        (nn.swish, None),
        (jnp.mean, "jax.numpy.mean"),
        (np.mean, "numpy.mean"),
        (optax.sgd, "optax.sgd"),
    ],
)
def test_a_function_of_a_dependency_has_its_public_name_and_needs_no_consent(
    function, name
):
    tree = encode(function)
    assert name is None or tree == {"function": name}
    assert foreign_names(tree) == ()
    assert decode(tree) is function


def test_what_would_be_called_with_arguments_of_the_file_needs_consent():
    tree = encode(functools.partial(np.load, "a.npy", allow_pickle=True))
    assert foreign_names({"class": "fpn_jax.x.Y", "a": [tree]}) == ("numpy.load",)
    assert foreign_names({"class": "flax.linen.linear.Conv"}) != ()
    assert foreign_names({"function": "jax._src.nn.functions.relu"}) != ()
    assert foreign_names({"enum": "my.Kind", "member": "A"}) == ("my.Kind",)


def inner_class():
    class Inner(nn.Module):
        pass

    return Inner()


UNWRITABLE = {
    "lambda": (lambda x: x, "a lambda has no name"),
    "array": (np.zeros(3), "a value of type ndarray cannot be written"),
    "jax array": (jnp.zeros(3), "cannot be written"),
    "object": (object(), "a value of type object cannot be written"),
    "number keys": ({1: 2}, "a value of type dict cannot be written"),
    "inner class": (inner_class(), "Inner is defined inside of a function"),
    "closure": (nn.initializers.normal(0.1), "init is defined inside of a function"),
    "method": (Merge.SUM.__str__, "has no name|inside of a class"),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_cannot_be_read_back_is_one_line_with_its_field(case):
    value, message = UNWRITABLE[case]
    config = Config(model=Own(value=("a", value)))
    with pytest.raises(ValueError, match=rf"^model.value\[1\]: .*({message})") as error:
        check_readable(config)
    assert "\n" not in str(error.value)


def test_a_module_that_was_made_up_cannot_be_imported_again(monkeypatch):
    import sys
    from types import ModuleType

    made = ModuleType("made_up")
    exec("import flax.linen as nn\nclass Made(nn.Module):\n  pass", vars(made))
    monkeypatch.setitem(sys.modules, "made_up", made)
    with pytest.raises(ValueError, match="model: the module of Made, 'made_up', can"):
        check_readable(Config(model=made.Made()))


def test_a_script_that_runs_cannot_be_imported(monkeypatch):
    monkeypatch.setattr(Own, "__module__", "__main__")
    with pytest.raises(ValueError, match="^model: Own is of the script that runs"):
        check_readable(Config(model=Own()))


def test_a_class_that_another_has_replaced_is_found_out(monkeypatch):
    replaced = Own()
    monkeypatch.setitem(globals(), "Own", Settings)
    with pytest.raises(ValueError, match="^model: it is not what .*Own is"):
        check_readable(Config(model=replaced))


class Initialized(nn.Module):
    kernel_init: Callable = nn.initializers.he_normal()
    activation: Callable = nn.relu
    width: int = 4


def test_a_default_without_a_name_is_left_out_and_comes_back():
    config = Config(model=Initialized(width=8))
    check_readable(config)
    assert encode(config.model) == {
        "class": f"{__name__}.Initialized",
        "activation": {"function": "jax.nn.relu"},
        "width": 8,
    }
    assert back(config.model).kernel_init is Initialized().kernel_init
    other = Config(model=Initialized(kernel_init=nn.initializers.he_normal()))
    with pytest.raises(ValueError, match="^model.kernel_init: .* inside of a function"):
        check_readable(other)


def test_an_import_that_fails_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "fails.py").write_text("raise RuntimeError('no\\nGPU')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError) as error:
        decode({"class": "fails.A"})
    assert str(error.value) == "'fails.A' cannot be imported: RuntimeError: no GPU"


def test_a_value_that_comes_back_as_another_is_told():
    config = Config(model=Own(value=Doubling(3)))
    with pytest.raises(ValueError, match="^model.value.value: 6 comes back as 12"):
        check_readable(config)


def test_a_config_of_ours_is_readable():
    check_readable(Config())
    assert from_json(to_json(Config())) == Config()


def test_a_difference_is_the_first_one():
    assert difference({"a": [1, 2]}, {"a": [1, 2]}) is None
    assert difference({"a": [1, 2]}, {"a": [1, 3]}) == "a[1]: 2 comes back as 3"
    assert difference([math.nan], [math.nan]) is None
    assert difference({"a": 1}, {"b": 1}, "x") is not None


def test_the_names_of_a_tree_are_read_without_importing(monkeypatch):
    monkeypatch.setattr("importlib.import_module", None)
    tree = {"class": "nowhere.A", "x": [{"class": "nowhere.B"}], "y": {"class": "A"}}
    assert foreign_names(tree) == ("A", "nowhere.A", "nowhere.B")


def test_a_key_is_missing():
    with pytest.raises(ValueError, match="'class'"):
        decode({"data": 1})


def test_jax_has_its_functions_where_we_look_for_them():
    assert jax.nn.relu is nn.relu
