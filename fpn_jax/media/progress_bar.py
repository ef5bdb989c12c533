"""The bar that counts the pictures of a source in a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich import progress
from rich.console import Console

from fpn_jax.media.picture import Source


@contextlib.contextmanager
def progress_bar(source: Source) -> Iterator[Callable[[], None]]:
    """Gives a function that counts a picture; a terminal shows how many are done."""
    console = Console(stderr=True, soft_wrap=True)
    columns = (
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    )
    hidden = not console.is_terminal or source.total == 1
    with progress.Progress(
        *columns,
        console=console,
        transient=True,
        disable=hidden,
        # A file or a pipe gets the lines itself; in a terminal they pass the bar.
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        task = bar.add_task("", total=source.total, rate="compiling")

        def advance() -> None:
            bar.advance(task)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:.1f} images/s" if speed else "")

        yield advance
