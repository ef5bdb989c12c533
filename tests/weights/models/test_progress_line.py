"""The line of a download: within 80 columns, and only in a terminal."""

import io

import pytest

from fpn_jax.weights.models.progress_line import ProgressLine, progress_text


def test_the_line_says_share_megabytes_and_time_left():
    # 41 of 102.5 MB, the rest at 8.2 MB/s: 7.5 s.
    assert progress_text("resnet50-0676ba61.pth", 41_000_000, 102_500_000, 8.2e6) == (
        "resnet50-0676ba61.pth  [########            ]  40 %  41 of 102 MB  0:07 left"
    )
    assert progress_text("a.pth", 3_000_000, None, 1.5e6) == "a.pth  3 MB  1.5 MB/s"


@pytest.mark.parametrize("total", [None, 10_000_000, 4_000_000_000])
def test_long_names_are_cut_to_80_columns(total):
    line = progress_text("a" * 100, 1_000_000, total, 1000.0)
    assert len(line) == 79 and "…" in line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_and_a_file_none():
    for stream, lines in ((Terminal(), 1), (io.StringIO(), 0)):
        line = ProgressLine("a.pth", stream)
        for done in range(0, 101, 10):
            line(done, 100)
        line.close()
        assert stream.getvalue().count("\n") == lines
        assert ("100 %" in stream.getvalue()) == bool(lines)
