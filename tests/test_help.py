"""Every help page: whole sentences, one for each option, and few lines at first."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fpn_jax
from fpn_jax import __main__, command_line
from fpn_jax.options import Offer
from fpn_jax.training.fine_tuning import NAMED
from tests.support.offers import offered

ROOT = Path(__file__).parents[1]
EXPERIMENTS = [
    *sorted((ROOT / "experiments").glob("digits_*.py")),
    *sorted((ROOT / "experiments").glob("coco_*.py")),
]
# One of each composition, backbone and neck.
MODELS = [
    *("maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn", "fcos_resnet50_fpn"),
    *("fasterrcnn_mobilenet_v3_large_fpn", "retinanet_resnet50_fpn_v2"),
    *("cascade_mask_rcnn_R_50_FPN", "rpn_R_50_FPN", "fast_rcnn_R_50_FPN"),
    *("yolox_nano", "yolox_s"),
]
# What the zoo has not: other backbones and necks.
OTHER_PARTS = """
from fpn_jax.backbones import {backbone}
from fpn_jax.necks import {neck}
from fpn_jax.training.config import Config
from fpn_jax.zoo.digits import digits_proposal_network


def get_config():
    model = digits_proposal_network()
    return Config(model=model.clone(backbone={backbone}(), neck={neck}()))
"""
PARTS = [("VGG", "PAFPN"), ("Dummy", "BiFPN"), ("MobileNetV2", "FPN")]
FORMS = ["torchvision", "detectron2", "yolox", "export"]


def pages() -> dict[str, tuple[str, ...]]:
    """Returns the words that ask for each page, by what they are called."""
    found = {name: (name,) for name in __main__.COMMANDS}
    found |= {f"convert {form}": ("convert", form) for form in FORMS}
    found["convert NAME OUT"] = ("convert", "yolox_nano")
    found |= {f"train {e.stem}": ("train", str(e)) for e in EXPERIMENTS}
    return found | {f"train {name}": ("train", "--model", name) for name in MODELS}


PAGES = pages()


def faults(text: str) -> list[str]:
    """Returns what keeps a text from being a sentence that stands alone."""
    found = []
    if len(text.split()) < 3:
        found.append("empty, or a title")
    if not re.match(r"[A-Z]", text):
        found.append("does not begin with a capital letter")
    if not text.endswith("."):
        found.append("does not end as a sentence")
    if re.match(r"Of |Returns |That |Those ", text):
        found.append("a fragment")
    if re.search(r"\(default|None", text):
        found.append("a default or a value of Python in the text")
    return found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "title"),
        ("Submodules.", "title"),
        ("name of the split.", "capital"),
        ("Highest learning rate", "end"),
        ("Of the convolutions of a tower.", "fragment"),
        ("Norm of the levels; None: no norm.", "Python"),
    ],
)
def test_a_text_that_does_not_stand_alone_is_found(text, fault):
    assert any(fault in found for found in faults(text))


def wrong_texts(offer: Offer) -> list[str]:
    """Returns what is wrong with the texts of a command."""
    wrong = [
        f"{option.names[0]}: {fault}: {option.text!r}"
        for option in offer.options
        for fault in faults(option.text)
    ]
    groups = {option.group for option in offer.options} - {""}
    wrong += [
        f"{group}: {fault}: {offer.groups[group]!r}"
        for group in groups
        for fault in faults(offer.groups[group])
    ]
    # Parts of a model have fields of the same name and meaning.
    names = {}
    for option in offer.options:
        names.setdefault(option.text, set()).add(option.key.rpartition(".")[2])
    wrong += [f"{sorted(n)}: {t!r}" for t, n in names.items() if len(n) > 1]
    return wrong


@pytest.mark.parametrize("words", PAGES.values(), ids=PAGES)
def test_every_option_and_group_has_a_sentence_of_its_own(words):
    offer, page = offered(words, "--help-all")
    assert wrong_texts(offer) == []
    spelled = page.replace("[no-]", "")
    assert [o.names[0] for o in offer.options if o.names[0] not in spelled] == []


@pytest.mark.parametrize(("backbone", "neck"), PARTS)
def test_options_of_other_parts_have_sentences_too(backbone, neck, tmp_path):
    experiment = tmp_path / "experiment.py"
    experiment.write_text(OTHER_PARTS.format(backbone=backbone, neck=neck))
    offer, _ = offered(("train", str(experiment)), "--help-all")
    assert wrong_texts(offer) == []


def test_wrong_texts_are_found():
    option = command_line.declared(Wrong).options
    offer = Offer(option, {"": ""})
    found = "\n".join(wrong_texts(offer))
    assert "--empty: empty" in found and "['a', 'b']: 'Shared by two.'" in found


class Wrong:
    """A command with texts that are refused."""

    def __init__(self, empty: int = 0, a: int = 0, b: int = 0):
        """Makes it.

        Args:
          a: Shared by two.
          b: Shared by two.
        """


@pytest.mark.parametrize("asked", ["--help", "--help-all"])
@pytest.mark.parametrize("words", PAGES.values(), ids=PAGES)
def test_pages_fit_a_terminal_and_speak_no_python(words, asked):
    _, page = offered(words, asked)
    wide = [line for line in page.splitlines() if len(line) > 80]
    # A list of choices is not broken.
    assert [line for line in wide if not re.fullmatch(r"  --\S+ \{\S+\}", line)] == []
    page = page.replace("{None,", "{")  # a choice where another is the default
    for form in ("STR", "INT", "FLOAT", "(default: )", "None", "╭", "MISSING"):
        assert form not in page, form


@pytest.mark.parametrize("words", PAGES.values(), ids=PAGES)
def test_the_first_page_has_less_than_80_lines(words):
    _, page = offered(words, "--help")
    assert len(page.splitlines()) < 80


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "preflight"])
def test_options_that_the_first_page_names_are_there(command):
    offer, page = offered((command,), "--help")
    common = importlib.import_module(f"fpn_jax.{command}").COMMON
    keys = {option.key for option in offer.options}
    assert set().union(*common.values()) <= keys
    assert f"fpn-jax {command} --help-all" in page


def test_names_of_models_are_those_of_the_zoo():
    assert set(MODELS) <= NAMED.keys()


def run(*words: str) -> str:
    process = subprocess.run(
        [sys.executable, "-m", "fpn_jax", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout


def test_the_overview_has_a_line_for_each_command():
    lines = run("--help").splitlines()
    assert max(map(len, lines)) <= 80
    for name in __main__.COMMANDS:
        line = next(line for line in lines if line.startswith(f"  {name} "))
        assert faults(line.removeprefix(f"  {name} ").strip()) == []
    assert run() == run("-h") == "\n".join(lines) + "\n"


def test_the_version_is_that_of_the_package():
    assert run("--version") == f"fpn-jax {fpn_jax.__version__}\n"
