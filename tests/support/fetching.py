"""Fetching weights in a process of its own, which can be killed."""

import multiprocessing
import os
import resource
import signal
import traceback
from multiprocessing.connection import Connection

from fpn_jax.weights.models import download
from fpn_jax.weights.models.cache import held_folder, published_file
from fpn_jax.weights.models.entry import PublishedModel

# A server that has imported all this makes each process in milliseconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.support.fetching"])


def fetch(
    entry: PublishedModel, cache: str, answer: Connection, most_bytes: int | None
) -> None:
    """Fetches the file of a model into a cache, and tells its path or the error.

    No file may have more than `most_bytes`.
    """
    os.environ["XDG_CACHE_HOME"] = cache
    if most_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error of the write instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    download.PAUSE = 0.0
    try:
        with held_folder(entry) as folder:
            said = str(published_file(entry, folder))
    except ValueError as error:
        said = f"ValueError: {error}"
    except Exception:
        said = traceback.format_exc()
    answer.send(said)


def fetching(entry: PublishedModel, cache, *, most_bytes: int | None = None) -> tuple:
    """Returns a started process, and where it tells what it has."""
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(
        target=fetch, args=(entry, str(cache), theirs, most_bytes)
    )
    process.start()
    theirs.close()
    return process, ours
