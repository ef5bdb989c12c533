"""The house rules that a reader of the package relies on, read from the source."""

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fpn_jax

PACKAGE = Path(fpn_jax.__path__[0])
TESTS = Path(__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A file imports from its own room and from rooms in rows above it. A room is a folder,
# or a file beside the folders; a folder in a room is a room of its own.
ROWS = [
    {"types", "choices", "lazy", "compilation"},
    {"runtime"},
    {"ops"},
    {"layers"},
    {"backbones"},
    {"necks"},
    {"heads"},
    {"detectors"},
    {"zoo"},
    {"weights"},
    {"weights/models"},
    {"data"},
    {"data/formats"},
    {"data/digits"},
    {"data/sources"},
    {"media"},
    {"evaluation"},
    {"visualize"},
    {"results"},
    {"loggers"},
    {"training"},
    {"inference"},
    {"translation"},
    {"artifacts"},
    {"serving"},
    {"parity"},
    {"options"},
    {"command_line"},
    {"examination"},
    {"forecast"},
    {"benchmarks"},
    # The commands.
    {
        "train",
        "evaluate",
        "predict",
        "convert",
        "export",
        "serve",
        "prepare",
        "doctor",
        "preflight",
        "benchmark",
        "models",
    },
    {"__main__"},
]
ROW_OF_ROOM = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
MODEL_ROOMS = set().union(*ROWS[: ROW_OF_ROOM["weights"] + 1])
CORE = {"jax", "flax", "optax", "chex", "numpy", "jaxtyping"}


def room_of_module(parts):
    """Returns the room of a module given as the parts of its path in the package."""
    longest = "/".join(parts[:2])
    return longest if longest in ROW_OF_ROOM else parts[0]


def room_of(file):
    return room_of_module(file.relative_to(PACKAGE).with_suffix("").parts)


def each(files):
    names = [str(file.relative_to(PACKAGE)) for file in files]
    return pytest.mark.parametrize("file", files, ids=names)


INIT_FILES = [file for file in FILES if file.name == "__init__.py"]
OTHER_FILES = [file for file in FILES if file.name != "__init__.py"]
MODEL_FILES = [file for file in FILES if room_of(file) in MODEL_ROOMS]
DATA_FILES = [file for file in OTHER_FILES if room_of(file).startswith("data")]


def imports(nodes):
    """Returns the dotted names of the modules that these nodes import."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            if node.module == "fpn_jax":
                names |= {f"fpn_jax.{alias.name}" for alias in node.names}
            else:
                names.add(node.module)
    return names


def all_imports(file):
    return imports(ast.walk(ast.parse(file.read_text())))


def imports_outside_functions(file):
    def outside(node):
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield child
                yield from outside(child)

    return imports(outside(ast.parse(file.read_text())))


def top_names(modules):
    return {module.partition(".")[0] for module in modules}


def rooms_imported(file):
    own = [name.split(".") for name in all_imports(file)]
    inside = [parts[1:] for parts in own if parts[0] == "fpn_jax" and len(parts) > 1]
    return {room_of_module(parts) for parts in inside}


def test_the_rows_are_the_rooms():
    assert {room_of(file) for file in FILES} - {"__init__"} == ROW_OF_ROOM.keys()
    folders = {f.parent.relative_to(PACKAGE).as_posix() for f in INIT_FILES} - {"."}
    assert folders <= ROW_OF_ROOM.keys()


@each(OTHER_FILES)
def test_imports_point_upwards(file):
    room = room_of(file)
    others = rooms_imported(file) - {room}
    wrong = {other for other in others if ROW_OF_ROOM[other] >= ROW_OF_ROOM[room]}
    assert not wrong


def test_files_import_each_other_in_no_circle():
    graph = {
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): {
            name for name in all_imports(file) if name.startswith("fpn_jax.")
        }
        for file in OTHER_FILES
    }
    list(TopologicalSorter(graph).static_order())  # raises CycleError


@each(INIT_FILES)
def test_init_files_only_pass_names_on(file):
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.If):  # TYPE_CHECKING: for type checkers alone
            assert node.test.id == "TYPE_CHECKING" and not node.orelse
            assert all(isinstance(inner, ast.ImportFrom) for inner in node.body)
        elif isinstance(node, ast.Assign):
            assert ast.unparse(node.targets[0]) in (
                "__all__",
                "__version__",
                "TYPE_CHECKING",
                "(__getattr__, __dir__)",
            )
        elif isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant)  # the docstring
        else:
            assert isinstance(node, ast.ImportFrom)


@each([file for file in INIT_FILES if file.parent != PACKAGE])
def test_init_files_pass_names_of_their_own_room_on(file):
    room = file.parent.relative_to(PACKAGE).as_posix()
    modules = {name for name in all_imports(file) if name.startswith("fpn_jax.")}
    others = {name for name in modules if not name.startswith(_module(file) + ".")}
    assert others <= {"fpn_jax.lazy"}
    assert rooms_imported(file) - {"lazy"} <= {room, "data/sources"}


@each(OTHER_FILES)
def test_files_import_from_files_and_not_through_doors(file):
    # A door imports all of its room: files that used doors would go in circles.
    assert not all_imports(file) & {_module(door) for door in INIT_FILES}


def _module(file):
    """The dotted name of a door, fpn_jax.ops of fpn_jax/ops/__init__.py."""
    return ".".join(file.parent.relative_to(PACKAGE.parent).parts)


@each(FILES)
def test_torch_is_imported_only_inside_functions_that_need_it(file):
    torch = {"torch", "torchvision"}
    assert not torch & top_names(imports_outside_functions(file))


def test_torch_is_imported_to_compare_with_it_and_to_read_its_files_only():
    having = {
        file.relative_to(PACKAGE).as_posix()
        for file in FILES
        if {"torch", "torchvision"} & top_names(all_imports(file))
    }
    assert having == {
        "benchmarks/loading.py",
        "parity/live_torchvision.py",
        "parity/torchvision_detectors.py",
        "weights/state_dicts.py",
    }


@each(MODEL_FILES)
def test_models_need_the_core_dependencies_only(file):
    foreign = top_names(imports_outside_functions(file)) - {"fpn_jax"}
    assert foreign - set(sys.stdlib_module_names) <= CORE


@each(DATA_FILES)
def test_data_files_do_not_import_jax(file):
    assert not top_names(all_imports(file)) & (CORE - {"numpy", "jaxtyping"})


def test_data_is_importable_without_jax():
    # Loader workers import it: one that touches a TPU hangs the job.
    paths = [file.relative_to(PACKAGE.parent).with_suffix("") for file in DATA_FILES]
    modules = [".".join(path.parts) for path in paths]
    without_jax = "import sys; sys.modules['jax'] = None; import " + ", ".join(modules)
    run = subprocess.run(
        [sys.executable, "-c", without_jax], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@each(FILES)
def test_files_hold_one_idea(file):
    assert len(file.read_text().splitlines()) <= 350
    vague = {
        "utils",
        "util",
        "common",
        "misc",
        "helpers",
        "base",
        "registry",
        "builder",
    }
    assert file.stem not in vague


def test_public_functions_have_names_of_their_own():
    names = Counter(
        node.name
        for file in FILES
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    )
    # Every command has a main; the tables of two libraries are read by modules' names.
    several = {name for name, count in names.items() if count > 1}
    assert several == {"main", "detector_rules"}


def test_helpers_of_tests_come_from_their_own_room():
    files = [*TESTS.rglob("*.py"), *(TESTS.parent / "experiments").glob("*.py")]
    for file in files:
        tests = {name for name in all_imports(file) if name.startswith("tests")}
        assert all(name.startswith("tests.support") for name in tests), file
        assert not tests or file.is_relative_to(TESTS), file


def test_no_class_inherits_from_a_class_of_ours():
    classes = [
        node
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    ours = {node.name for node in classes}
    bases = {
        base.id for node in classes for base in node.bases if isinstance(base, ast.Name)
    }
    assert not bases & ours


@cache
def names_of_our_classes():
    """Returns the names of all classes of ours, and of all that they have."""
    classes, attributes = set(), set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                classes.add(node.name)
                for item in node.body:
                    if isinstance(item, ast.AnnAssign):
                        attributes.add(item.target.id)
                    elif isinstance(item, ast.FunctionDef):
                        attributes.add(item.name)
    return classes, attributes


def probes(tree):
    """Yields the lines that ask a value of ours what it is, by its class or names.

    `isinstance` of our classes; `hasattr` and `getattr` of a name that they have;
    `type(x).__name__`, unless it is part of a message.
    """
    classes, attributes = names_of_our_classes()
    messages = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in (
            "__name__",
            "__qualname__",
        ):
            kind = node.value
            named = isinstance(kind, ast.Call) and isinstance(kind.func, ast.Name)
            of_type = named and kind.func.id == "type"
            # The class of an error is told where it has no text of its own.
            if (
                of_type
                and ast.unparse(kind.args[0]) != "error"
                and id(node) not in messages
            ):
                yield node.lineno
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in ("isinstance", "issubclass"):
            asked = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            if asked & classes:
                yield node.lineno
        if node.func.id in ("hasattr", "getattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and name.value in attributes:
                yield node.lineno


def test_a_probe_is_found():
    found = """
isinstance(model, (int, TwoStage))
hasattr(model, "box_head")
getattr(model, "num_classes", None)
tables[type(head).__name__]
f"a {type(head).__name__}"
isinstance(value, int)
getattr(os, "sched_getaffinity")
"""
    assert sorted(probes(ast.parse(found))) == [2, 3, 4, 5]


def test_only_detectors_are_asked_what_they_are_and_only_in_their_room():
    found = {
        f"{file.relative_to(PACKAGE)}:{line}"
        for file in FILES
        # Models of torchvision have a head as well.
        if room_of(file) not in ("detectors", "parity")
        for line in probes(ast.parse(file.read_text()))
    }
    # What a user's file made is checked once, where it comes in.
    own = {"training/experiment.py", "training/config_file.py"}
    # What a pickle puts in the place of a type is no value of ours.
    own |= {"weights/pickled_arrays.py", "weights/torch_files.py"}
    assert {place for place in found if place.partition(":")[0] not in own} == set()
    assert len(found) == 4
