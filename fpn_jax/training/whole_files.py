"""Files that are whole at any moment: the old text, or the new one."""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Writes a file beside `path`, then renames it: a kill leaves the old one.

    An OSError names the path.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(text)
    except OSError as error:
        error.filename = str(path)
        raise
    os.replace(beside, path)
