"""The table of what detectors take on a TPU; compiling them takes an hour."""

import json

import pytest

from experiments.tpu_programs import main, read_rows, table

ROW = {
    "name": "retinanet_resnet50_fpn",
    "program": "train",
    "topology": "v5e:1x1",
    "fits": True,
    "seconds": 0.0478,
    "share_of_peak": 0.312,
    "rows": 120_000,
    "collective_bytes": {},
    "hidden_bytes": {},
    "memory": {"arguments": 3e8, "results": 2e8, "working": 1.5e9, "shared": 2e8},
}


def test_a_detector_is_a_line_and_a_program_a_cell():
    asked = {"needed_bytes": 20e9, "available_bytes": 16.91e9}
    large = {**ROW, "program": "detect8", "fits": False, **asked}
    assert table([ROW, large]).splitlines() == [
        "| | train | detect8 |",
        "|---|--:|--:|",
        "| retinanet_resnet50_fpn | 47.8 ms (1.2), 31%, 1.8 GB "
        "| does not fit: 20.00 of 16.91 GB |",
    ]


def test_what_several_chips_exchange_is_told_with_what_is_beside_other_work():
    sent = {"all-reduce": 96_400_000, "all-gather": 2_000_000}
    exchanged = {"collective_bytes": sent, "hidden_bytes": {"all-reduce": 20_000_000}}
    line = table([{**ROW, **exchanged, "topology": "v5e:2x2"}]).splitlines()[-1]
    assert line.endswith("1.8 GB, all-reduce 96.4 MB (20.0), all-gather 2.0 MB (0.0) |")


def test_known_rows_are_not_compiled_again(tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")
    before = rows.read_text()
    assert main([str(rows), "--names", ROW["name"], "--programs", "train"]) == 0
    assert "47.8 ms" in capsys.readouterr().out
    assert rows.read_text() == before
    assert read_rows(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("topology", ["cpu", "v5e", "v9:2x2"])
def test_a_topology_that_names_no_tpu_is_refused(tmp_path, capsys, topology):
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "rows.jsonl"), "--topology", topology])
    assert stopped.value.code == 2
    assert f"{topology.partition(':')[0]!r}" in capsys.readouterr().err


def test_an_unknown_name_is_refused_before_anything_is_compiled(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "rows.jsonl"), "--names", "fasterrcnn"])
    assert stopped.value.code == 2
    assert "'fasterrcnn'" in capsys.readouterr().err
