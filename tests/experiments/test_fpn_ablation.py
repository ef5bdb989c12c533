"""The paper's rows: their anchors and parameters; the table of runs that are done."""

import json

import jax
import numpy as np
import pytest

from experiments import fpn_ablation
from experiments.fpn_ablation import ROWS, Arguments, base_config, model_of_row

# Table 1 of the paper, at 800 x 1000 px.
ANCHORS = {"a": 47, "b": 12, "c": 200, "d": 200, "e": 200, "f": 750}  # thousands


def base(table: int, data=None):
    return base_config(Arguments(table=table, data=data)).model


@pytest.mark.parametrize("letter", ROWS)
@pytest.mark.parametrize("table", [1, 3])
@pytest.mark.parametrize("data", [None, ("coco/train", "coco/val")])
def test_the_numbers_of_anchors_are_the_papers(letter, table, data):
    count = fpn_ablation.num_anchors(model_of_row(base(table, data), letter))
    assert round(count / 1000) == ANCHORS[letter]


@pytest.mark.parametrize("letter", ROWS)
def test_fixed_proposals_are_the_same_in_every_row(letter):
    model = base(2)
    row = model_of_row(model, letter)
    assert row.proposals == model.proposals == base(1)
    levels = {"a": (4,), "b": (5,), "f": (2,)}.get(letter, (2, 3, 4, 5))
    assert row.box_head.levels == levels


@pytest.mark.parametrize("letter", ROWS)
def test_the_rows_differ_in_the_pyramid_only(letter):
    model = base(1)
    images, sizes = np.zeros((1, 64, 64, 3)), np.full((1, 2), 64)

    def parameters(model):
        variables = jax.eval_shape(model.init, jax.random.key(0), images, sizes)
        return set(jax.tree_util.tree_flatten_with_path(variables["params"])[0])

    names = [
        {jax.tree_util.keystr(path): x.shape for path, x in parameters(m)}
        for m in (model, model_of_row(model, letter))
    ]
    everything, row = names
    missing = {name.split("'")[3] for name in everything.keys() - row.keys()}
    assert (
        missing
        == {
            "a": {"stage5", *(f"lateral{i}" for i in (2, 3, 5)), *_outputs(2, 3, 5)},
            "b": {*(f"lateral{i}" for i in (2, 3, 4)), *_outputs(2, 3, 4)},
            "c": set(),
            "d": set(),
            "e": {f"lateral{i}" for i in (2, 3, 4)},
            "f": set(_outputs(3, 4, 5)),
        }[letter]
    )
    assert row.keys() <= everything.keys()
    # Five sizes of anchors on one map: five times the outputs of the head.
    wider = {name for name in row if row[name] != everything[name]}
    assert all("'head'" in name and "conv" not in name for name in wider)
    assert bool(wider) == (letter in "abf")


def _outputs(*levels):
    return [f"output{level}" for level in levels]


def test_the_table_has_means_and_deviations_of_the_runs_that_are_done(tmp_path):
    values = {"c": (0.5, 0.6), "a": (0.3,)}
    for letter, recalls in values.items():
        for seed, recall in enumerate(recalls):
            run = fpn_ablation.run_directory(tmp_path, 1, letter, seed)
            run.mkdir()
            names = (*fpn_ablation.FIGURES[1], "AP")
            last = {"step": 300, **dict.fromkeys(names, recall)}
            rows = [{"step": 20, "loss": 1.0}, last]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (run / "metrics.jsonl").write_text(text)
    results = fpn_ablation.read_results(tmp_path, 1)
    table = fpn_ablation.table_text(base(1), results, 1).splitlines()
    assert table[2].startswith("| (a) | on C4 | 47k | 1 | 0.300 ± 0.000 |")
    assert table[3].startswith("| (c) | FPN | 200k | 2 | 0.550 ± 0.071 |")
    (axes,) = fpn_ablation.plot_table(results, fpn_ablation.FIGURES[1]).axes
    heights = sorted(bar.get_height() for bar in axes.patches)
    np.testing.assert_allclose(heights, [0.3] * 5 + [0.55] * 5)
