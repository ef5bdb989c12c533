"""The README's table of models says what the table of weights and the models say."""

import jax
import jax.numpy as jnp
import pytest

from fpn_jax.training.fine_tuning import NAMED
from fpn_jax.weights.models.table import MODELS
from tests.support.pages import ROOT

LINES = (ROOT / "README.md").read_text().splitlines()
CELLS = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in LINES]
ROWS = {cells[0]: cells[1:] for cells in CELLS if cells and cells[0] in MODELS}


def test_the_table_has_models_of_each_library():
    sources = {MODELS[name].source for name in ROWS}
    assert sources == {"torchvision", "detectron2", "yolox"} and len(ROWS) >= 12
    text = "\n".join(LINES)
    classifiers = sum(model.task == "classes" for model in MODELS.values())
    detectors = len(MODELS) - classifiers
    assert f"lists {len(MODELS)} sets of published weights" in text
    assert f"{detectors} of detectors and {classifiers} of classifiers" in text


@pytest.mark.parametrize("name", ROWS)
def test_figures_and_licenses_are_the_published_ones(name):
    finds, figures, _, _, license = ROWS[name]
    entry = MODELS[name]
    assert finds.split(", ")[-1] == entry.task
    assert [float(figure) for figure in figures.split(", ")] == [
        round(figure, 1) for figure in entry.figures.values()
    ]
    assert license == entry.license


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_parameters_are_as_many_as_the_model_has(name):
    model = NAMED[MODELS[name].model]()
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    params = jax.eval_shape(model.init, jax.random.key(0), images, sizes)["params"]
    millions = sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6
    assert ROWS[name][2] == f"{millions:.1f} M"
