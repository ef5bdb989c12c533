"""The paper's rows: their anchors and parameters; the table of runs that are done."""

import json
import signal

import jax
import numpy as np
import pytest

from experiments import fpn_ablation, runs
from experiments.fpn_ablation import ROWS, Arguments, base_config, model_of_row
from fpn_jax.training.ending import Stopped

# Table 1 of the paper, at 800 x 1000 px.
ANCHORS = {"a": 47, "b": 12, "c": 200, "d": 200, "e": 200, "f": 750}  # thousands


def base(table: int, data=None):
    return base_config(Arguments(table=table, data=data)).model


@pytest.mark.parametrize("letter", ROWS)
@pytest.mark.parametrize("table", [1, 3])
@pytest.mark.parametrize("data", [None, "coco"])
def test_the_numbers_of_anchors_are_the_papers(letter, table, data):
    count = fpn_ablation.num_anchors(model_of_row(base(table, data), letter))
    assert round(count / 1000) == ANCHORS[letter]


@pytest.mark.parametrize("letter", ROWS)
def test_fixed_proposals_are_the_same_in_every_row(letter):
    model = base(2)
    row = model_of_row(model, letter)
    assert row.proposals == model.proposals == base(1)
    levels = {"a": (4,), "b": (5,), "f": (2,)}.get(letter, (2, 3, 4, 5))
    assert row.box_head.pool.levels == levels
    assert row.box_head.pool.canonical_size == 56


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


def write_run(run, recall, steps=300):
    """What is left of a run that is done."""
    names = {name for names in fpn_ablation.FIGURES.values() for name in names}
    rows = [{"step": 20, "loss": 1.0}, {"step": steps, **dict.fromkeys(names, recall)}]
    (run / "checkpoints" / str(steps)).mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run / "metrics.jsonl").write_text(text)


def test_the_table_has_means_and_deviations_of_the_runs_that_are_done(tmp_path):
    for letter, recalls in {"c": (0.5, 0.6), "a": (0.3,)}.items():
        for seed, recall in enumerate(recalls):
            name = fpn_ablation.run_directory(tmp_path, 1, letter, seed, 300)
            write_run(name, recall)
    write_run(fpn_ablation.run_directory(tmp_path, 1, "a", 0, 20), 0.9, steps=20)
    results = fpn_ablation.read_results(tmp_path, 1, 300)
    table = fpn_ablation.table_text(base(1), results, 1).splitlines()
    assert table[2].startswith("| (a) | on C4 | 47k | 1 | 0.300 ± 0.000 |")
    assert table[3].startswith("| (c) | FPN | 200k | 2 | 0.550 ± 0.071 |")
    (axes,) = fpn_ablation.plot_table(results, fpn_ablation.FIGURES[1]).axes
    heights = sorted(bar.get_height() for bar in axes.patches)
    np.testing.assert_allclose(heights, [0.3] * 7 + [0.55] * 7)


@pytest.fixture
def trained(monkeypatch):
    """The configurations that the command has trained, without training them."""
    made = {}

    def train(config, run):
        made[run.name] = config
        write_run(run, 0.5, config.train.steps)

    monkeypatch.setattr(runs, "train", train)
    return made


def run_command(out, *words):
    assert fpn_ablation.main([*words, "--out", str(out)]) == 0


def test_the_command_trains_in_parts_and_writes_table_and_plot(tmp_path, trained):
    run_command(tmp_path, "--rows", "a", "c", "--seeds", "3")
    assert list(trained) == ["table1-a-seed3-steps300", "table1-c-seed3-steps300"]
    assert {config.train.seed for config in trained.values()} == {3}
    run_command(tmp_path, "--rows", "a", "b", "--seeds", "3")
    assert list(trained)[2:] == ["table1-b-seed3-steps300"]
    assert (tmp_path / "table1.md").read_text().count("| 1 | 0.500 ± 0.000 |") == 3
    assert (tmp_path / "table1.png").stat().st_size > 1000


def test_table_2_starts_from_the_proposals_of_the_same_seed(tmp_path, trained):
    words = ("--table", "2", "--rows", "b", "c", "--pretrained", "resnet.pth")
    run_command(tmp_path, *words, "--seeds", "0", "1")
    proposals, *others = trained
    assert proposals == "table1-c-seed0-steps300"
    assert others[:2] == ["table2-b-seed0-steps300", "table2-c-seed0-steps300"]
    for seed in (0, 1):
        given = str(tmp_path / f"table1-c-seed{seed}-steps300")
        config = trained[f"table2-b-seed{seed}-steps300"]
        assert config.train.pretrained == ("resnet.pth", given)


@pytest.mark.parametrize("table", [1, 2, 3])
def test_every_row_starts_from_a_frozen_backbone_where_asked(tmp_path, trained, table):
    words = ("--table", str(table), "--pretrained", "other", "--frozen-stages", "5")
    run_command(tmp_path, *words, "--rows", "c", "d", "--seeds", "0")
    assert {config.model.backbone.frozen_stages for config in trained.values()} == {5}
    assert {config.train.pretrained[0] for config in trained.values()} == {"other"}


def test_nothing_to_do_gives_an_empty_table(tmp_path, trained, capsys):
    run_command(tmp_path / "new", "--seeds")
    assert not trained and "| row |" in capsys.readouterr().out


def test_a_run_that_ends_early_is_one_line(tmp_path, monkeypatch, capsys):
    def stop(config, run):
        raise Stopped(7, signal.SIGINT)

    monkeypatch.setattr(runs, "train", stop)
    with pytest.raises(SystemExit) as status:
        fpn_ablation.main(["--out", str(tmp_path)])
    assert status.value.code == 130
    assert capsys.readouterr().err == (
        "stopped by SIGINT at step 7, saved; the same command goes on from there\n"
    )
