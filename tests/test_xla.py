"""The cache of the tests' compiled programs."""

import os

from tests.support.xla import prune


def test_the_programs_least_recently_read_go_first(tmp_path):
    for age, name in enumerate(("new", "old", "older")):
        path = tmp_path / name
        path.write_bytes(bytes(10))
        os.utime(path, (1e9 - age, 1e9 - age))
    prune(tmp_path, limit=30)
    assert len(list(tmp_path.iterdir())) == 3
    prune(tmp_path, limit=25)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "old"}
    prune(tmp_path / "not there", limit=1)
