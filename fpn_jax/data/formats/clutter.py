"""Files that operating systems and tools put among a data set's own."""

from pathlib import PurePosixPath

# In small letters. Names that begin with a dot are hidden, and need no list: `._a.jpg`
# and `.DS_Store` of macOS, `.ipynb_checkpoints` of Jupyter, `.idea`, `.git`.
_NAMES = {
    *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
    *("thumbs.db", "ehthumbs.db", "desktop.ini"),  # Windows
    *("$recycle.bin", "system volume information"),
    *("lost+found", "@eadir", "#recycle", "@recycle", "#snapshot"),  # network drives
    "__pycache__",
}


def is_clutter(name: str) -> bool:
    """Whether a file is hidden or no person's, by its path relative to its data set."""
    parts = PurePosixPath(name).parts
    return any(_is_clutter(part) for part in parts if part not in (".", ".."))


def _is_clutter(part: str) -> bool:
    return part.startswith(".") or part.lower() in _NAMES
