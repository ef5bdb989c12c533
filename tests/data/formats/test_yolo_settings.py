import pytest
from etils import epath

from fpn_jax.data.formats.yolo_settings import read_yolo_settings


@pytest.fixture
def settings(tmp_path):
    def settings(text):
        path = epath.Path(tmp_path / "data.yaml")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yolo_settings(path)

    return settings


@pytest.mark.parametrize(
    "names",
    ["[cat, dog]", "{0: cat, 1: dog}", "{'0': cat, '1': dog}", "\n- cat\n- dog"],
)
def test_names_are_a_list_or_have_numbers(settings, names):
    assert settings(f"train: x\nnames: {names}").names == {0: "cat", 1: "dog"}


def test_names_are_the_texts_that_they_are(settings):
    # YAML takes the first for false, the second for 7 and the last for a day.
    names = settings("train: x\nnames: [no, 007, 1.0, 2020-01-01]").names
    assert list(names.values()) == ["no", "007", "1.0", "2020-01-01"]
    assert settings("nc: 2\ntrain: x").names == {0: "class_0", 1: "class_1"}


def test_marks_and_line_ends_of_windows_do_not_count(settings):
    found = settings(b"\xef\xbb\xbftrain: .\\a\\\r\nvalid: 2017\r\nnames: [a]\r\n")
    assert found.splits == {"train": ["a/"], "valid": ["2017"]}


def test_a_flip_is_its_own_inverse(settings):
    text = "names: [a]\ntrain: x\nkpt_shape: [3, 3]\nflip_idx: "
    assert settings(text + "[0, 2, 1]").flip == (0, 2, 1)
    with pytest.raises(ValueError, match="is no mirror: point 0 becomes 1, and 1 beco"):
        settings(text + "[1, 2, 0]")


def test_the_root_is_beside_the_file_where_its_path_is_not_there(settings, tmp_path):
    assert settings("train: x\nnames: [a]\npath: /elsewhere/data").root == tmp_path
    (tmp_path / "inner").mkdir()
    assert settings("train: x\nnames: [a]\npath: .\\inner").root == tmp_path / "inner"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("names: [caf\u00e9]".encode("latin1"), "line 1 is no UTF-8 text"),
        ("names: [", "no YAML: "),
        ("names: [!!int x]", "no YAML: "),
        ("a: " + "[" * 5000, "no YAML: "),
        ("- a", "no YOLO data set, which has 'names' and 'train'"),
        ("train: x", "no YOLO data set, names is None, must be a list of the classes"),
        ("names: cat", "names is 'cat', must be a list"),
        ("names: {x: cat}", "names has the key 'x', must be 0, 1, 2"),
        ("names: [a, null]", "names has None for class 1, must be text"),
        ("names: [{a: b}]", "names has {'a': 'b'} for class 0, must be text"),
        ("names: [a]\nnc: 2", "nc is 2, but names has 1 classes"),
        ("train: x\nnc: 0", "names is None, must be a list of the classes"),
        ("names: [a]\nnc: two", "nc is 'two', must be a number of classes"),
        ("names: [a]\ntrain: {a: b}", "train is {'a': 'b'}, must be a folder of im"),
        ("names: [a]\ntrain: [a, null]", "train is [a, None], must be a folder of i"),
        ('names: [a]\ntrain: "\\ud800"', "train must be the name of a file or folder"),
        ("names: [a]\npath: [x]", "path is [x], must be a folder"),
        ("names: [a]\nkpt_shape: 3", "kpt_shape is '3', must be [points, 2 or 3]"),
        ("names: [a]\nkpt_shape: [3, 4]", "kpt_shape is [3, 4], must be [points, 2"),
        ("names: [a]\nkpt_shape: [2, 3]", "flip_idx is None, must say for each of 2"),
        ("names: [a]\nkpt_shape: [2, 3]\nflip_idx: 1", "flip_idx is '1', must say"),
        ("names: [a]\nkpt_shape: [2, 3]\nflip_idx: [[0], 1]", "must say for each of 2"),
    ],
)
def test_wrong_settings_are_told_in_one_line(settings, text, reason):
    with pytest.raises(ValueError) as error:
        settings(text)
    assert reason in str(error.value) and "\n" not in str(error.value)
    assert "data.yaml: " in str(error.value)


def test_aliases_that_grow_endlessly_are_shown_in_short(settings):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    rows += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 8)}]" for k in range(1, 12)]
    with pytest.raises(ValueError) as error:
        settings("\n".join([*rows, "names: [a]", "train: *a11"]))
    assert len(str(error.value)) < 1000
