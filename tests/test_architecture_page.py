"""The page of the architecture shows the tree of rooms; what pages name exists."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "architecture.md"


def row_of_each_room() -> dict[str, int]:
    """Returns the rooms with the number of their row, from `ROWS` of the architecture.

    Read and not imported: tests take nothing from other tests.
    """
    body = ast.parse((TESTS / "test_architecture.py").read_text()).body
    names = [node for node in body if isinstance(node, ast.Assign)]
    rows = next(node.value for node in names if node.targets[0].id == "ROWS")
    rooms = enumerate(ast.literal_eval(rows))
    return {room: row for row, names in rooms for room in names}


def rooms_of_the_layout() -> list[str]:
    """Returns the rooms in their order, as `ROWS` of the architecture names them."""
    text = PAGE.read_text()
    block = re.search(r"^```\nfpn_jax/\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    rooms, folder = [], ""
    for line in block[1].splitlines():
        indent, names = re.match(r"( +)((?:\w+(?:/|\.py)(?: +|$))+)", line).groups()
        if len(indent) == 2:
            folder = ""
        for name in names.split():
            rooms.append(folder + name.removesuffix("/").removesuffix(".py"))
        if len(indent) == 2:
            folder = f"{rooms[-1]}/"
    return rooms


def test_the_layout_names_every_room_and_command_once():
    assert sorted(rooms_of_the_layout()) == sorted(
        row_of_each_room().keys() - {"__main__"}
    )


def test_the_layout_is_in_the_order_in_which_rooms_may_import():
    row = row_of_each_room()
    rows = [row[room] for room in rooms_of_the_layout()]
    assert rows == sorted(rows)


def test_the_layout_tells_folders_from_files():
    package = TESTS.parent / "fpn_jax"
    for room in rooms_of_the_layout():
        name = room.rpartition("/")[2]
        is_folder = (package / room).is_dir()
        assert (f"{name}/ " if is_folder else f"{name}.py") in PAGE.read_text()
