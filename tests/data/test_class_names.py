"""What a class may be called."""

import re

import pytest

from fpn_jax.data.class_names import check_class_names


def test_blanks_at_the_ends_are_no_part_of_a_name():
    names = [" cat", "dog\n", "red panda", "ß", "0"]
    assert check_class_names("a.json", names) == ("cat", "dog", "red panda", "ß", "0")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (None, "name is None, must be text"),
        (7, "name is 7, must be text"),
        (True, "name is True, must be text"),
        (["cat"], "name is ['cat'], must be text"),
        ("", "name '' is empty"),
        (" \t", "name ' \\t' is empty"),
        ("a\nb", "name 'a\\nb' has a line break"),
        ("a\rb", "name 'a\\rb' has a line break"),
        ("a\u2028b", "name 'a\\u2028b' has a line break"),
        ("a\0", "name 'a\\x00' has characters that no file can hold"),
        ("\ud800", "name '\\ud800' has characters that no file can hold"),
        ("dog ", "name 'dog' is another class's too"),
    ],
)
def test_a_name_that_is_none_is_said_in_one_line(name, problem):
    message = "^" + re.escape(f"a.json: class 2: {problem}") + "$"
    with pytest.raises(ValueError, match=message):
        check_class_names("a.json", ["dog", name])
