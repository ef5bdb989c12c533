"""The record of one thing that is wrong with a data set."""

from typing import NamedTuple


class Defect(NamedTuple):
    """One defect; as a text of one line it says where and what.

    A note is a fact to look at: it stops no run, and the doctor's status stays 0.
    """

    kind: str  # in few words, the same for all alike
    place: str  # as the data set numbers it: "annotation 7", "object 2"
    reason: str
    file: str = ""  # where it is one image's
    box: tuple[float, ...] | None = None  # xyxy, where one can be drawn
    note: bool = False  # whether it is no fault

    def __str__(self) -> str:
        where = " ".join(filter(None, [self.place, self.file and f"({self.file})"]))
        text = " ".join(f"{where}: {self.reason}".splitlines())
        # A file may hold half a character, which no terminal takes.
        return text.encode("utf-8", "backslashreplace").decode()
