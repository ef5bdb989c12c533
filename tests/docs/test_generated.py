"""The parts of the site that come from the code."""

import dataclasses

import pytest

from fpn_jax.training import config
from fpn_jax.weights.models.table import MODELS
from tests.support.pages import PAGES, ROOT, docs_module

generated = docs_module("generated")
PARTS = (
    *(config.DataConfig, config.OptimizerConfig),
    *(config.TrainConfig, config.EvaluationConfig),
)


@pytest.mark.parametrize("part", PARTS)
def test_every_setting_has_a_default_and_a_text(part):
    rows = generated.fields_of(part)
    assert [name for name, _, _ in rows] == [f.name for f in dataclasses.fields(part)]
    assert all(default.strip("`") and text.strip() for _, default, text in rows)


def test_the_settings_have_their_values():
    lines = generated.settings_lists().splitlines()
    found = {line.split("`")[1]: line for line in lines if line.startswith("- ")}
    momentum, compiler = found["--optimizer.momentum"], found["--train.parallelism"]
    assert momentum.endswith("*number; default `0.9`*")
    assert compiler.endswith('*`jit`, `pmap`; default `"jit"`*')
    assert found["--data.canvas"].endswith("*2 x whole number; default `(320, 320)`*")
    assert found["--train.pretrained"].endswith("*any number of text; default `()`*")


def test_the_published_models_are_all_there():
    text = generated.published_tables()
    assert [name for name in MODELS if f"| `{name}` |" not in text] == []
    assert "https" not in text


def test_help_is_that_of_the_command():
    page = generated._help("models")
    assert page.startswith("usage: fpn-jax models") and "\x1b" not in page


def test_every_mark_on_a_page_is_filled_in():
    marks = [m for p in PAGES for m in p.read_text().split("<!-- generated: ")[1:]]
    assert {mark.partition(" ")[0] for mark in marks} == generated.TABLES.keys()


def test_links_to_files_become_text_without_an_address(tmp_path):
    links = docs_module("repository_links").Links
    page = ROOT / "docs" / "use.md"
    picture = "![c](../experiments/figures/found.png)"
    text = f"[a](data.md#yolo) [b](../LICENSE) {picture} `[d](e)`"
    names = {ROOT / "docs" / "data.md": "data.md"}
    site = links(ROOT, names, None)
    assert site.rewritten(page, text) == (
        "[a](data.md#yolo) b (`LICENSE`) ![c](figures/found.png) `[d](e)`"
    )
    assert site.figures == {ROOT / "experiments" / "figures" / "found.png"}
    here = links(ROOT, names, "https://host/repository").rewritten(
        page, "[b](../LICENSE)"
    )
    assert here == "[b](https://host/repository/blob/main/LICENSE)"
    with pytest.raises(SystemExit, match="no file 'nothing.md'"):
        site.rewritten(page, "[e](nothing.md)")
