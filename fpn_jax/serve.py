"""Serves a detector over HTTP.

    fpn-jax serve runs/digits-1
    fpn-jax serve fasterrcnn_resnet50_fpn --host 0.0.0.0 --port 80
    fpn-jax serve detector.onnx

POST /detect takes an image, raw or as a file of a form, and answers JSON of the objects
in pixels of the upright image. GET / is a page to try it, /docs describes all paths,
and /health, /ready and /metrics are for those who run it.

A run has two canvases, or one where it is square, and a program for each, which is
compiled at the start. Requests for the same canvas that come within a few milliseconds
go through the network together. SIGTERM and Ctrl-C end the server, after all that it
has accepted is answered.

Exit status: 0 stopped, 1 ended without having been asked to, 2 wrong input.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fpn_jax.choices import check_count, check_fraction
from fpn_jax.command_line import Positional, arg, parse, user_errors
from fpn_jax.runtime import set_up
from fpn_jax.serving.bounds import Bounds

if TYPE_CHECKING:
    from fpn_jax.serving.engine import Engine
    from fpn_jax.serving.running import Running

_PORTS = 65535
_POLL = 0.05  # seconds


@dataclass(frozen=True)
class Arguments:
    # Directory of a run, name of a published model, or a file of `fpn-jax export`.
    run: Annotated[Positional[Path], arg(metavar="RUN|NAME|ARTIFACT")]
    # Address to listen at; 0.0.0.0 takes requests of other machines.
    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    # Port to listen at; 0 takes a free one, which is printed.
    port: int = 8000
    # Images of a batch, by default 1 on a CPU and 8 elsewhere; an exported file has its
    # own number.
    batch_size: int | None = None
    # Milliseconds that a request waits for others of its canvas.
    wait: float = 4.0
    # Threads that decode images, by default as many as cores.
    threads: int | None = None
    # Most requests that are read, wait or are computed at the same time.
    max_requests: int = Bounds.requests
    # Longest request in megabytes.
    max_megabytes: float = Bounds.body_bytes / 1e6
    # Largest image in millions of pixels.
    max_megapixels: float = Bounds.pixels / 1e6
    # Seconds in which a request must be answered once it is read.
    timeout: float = Bounds.answer_seconds
    # Seconds in which a request must be read.
    body_timeout: float = Bounds.body_seconds
    # Lowest score that a request can ask for, by default the model's own.
    score_threshold: float | None = None
    # IoU above which the lower of two boxes of a class is dropped, by default the
    # model's own.
    nms_threshold: float | None = None
    # Most objects of an image, by default the model's own.
    max_detections: int | None = None
    # Type of the network's computation, by default the model's own.
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    # Checkpoint of the run: "best", "latest", or the number of a step.
    checkpoint: Annotated[str, arg(metavar="WHICH")] = "best"
    # Address of a Label Studio that this server is an ML back end of. Its token is read
    # from LABEL_STUDIO_API_KEY in the environment.
    label_studio: Annotated[str | None, arg(metavar="ADDRESS")] = None
    # Lowest score of the objects that Label Studio is given.
    label_studio_score: float = 0.5
    # Python file with your own classes, where the model has any.
    experiment: Path | None = None
    # Import your own classes from the copy of the experiment in the run.
    trust: bool = False


COMMON = {
    "What is served": ("run", "host", "port", "score_threshold"),
    "How": ("batch_size", "wait", "threads", "max_requests", "timeout"),
    "For others": ("label_studio",),
}
"""The options that most servers need, which `--help` shows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("serve"):
        set_up()
        chosen = parse(
            Arguments,
            arguments,
            command="serve",
            description=__doc__,
            common=COMMON,
        )
        check_options(chosen)
        return serve(chosen)


def check_options(chosen: Arguments) -> None:
    """Raises ValueError for an option that means nothing, before anything is read."""
    for option in ("batch_size", "threads", "max_requests", "max_detections"):
        if (value := getattr(chosen, option)) is not None:
            check_count(option.replace("_", "-"), value)
    for option in ("score_threshold", "nms_threshold", "label_studio_score"):
        if (value := getattr(chosen, option)) is not None:
            check_fraction(option.replace("_", "-"), value)
    for option in ("max_megabytes", "max_megapixels", "timeout", "body_timeout"):
        if not 0 < (value := getattr(chosen, option)) < float("inf"):
            name = option.replace("_", "-")
            raise ValueError(f"{name}: {value!r} given, must be more than 0")
    if not 0 <= chosen.wait < float("inf"):
        raise ValueError(f"wait: {chosen.wait!r} given, must be 0 or more milliseconds")
    if not 0 <= chosen.port <= _PORTS:
        raise ValueError(f"port: {chosen.port} given, must be 0 … {_PORTS}")


def serve(chosen: Arguments) -> int:
    """Returns the exit status once the server has been stopped."""
    # OpenCV reads it when it is imported; some headers state less than a file has.
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(round(chosen.max_megapixels * 1e6))
    try:
        from fpn_jax.serving.app import make_app, new_serving
        from fpn_jax.serving.label_studio import label_studio_adder
        from fpn_jax.serving.metrics import count_compilations_in
        from fpn_jax.serving.running import start_server
    except ImportError as error:
        raise ValueError(
            f"serve needs the package {error.name!r}: pip install 'fpn-jax[serve]'"
        ) from error
    bounds = bounds_of(chosen)
    add = label_studio_adder(
        chosen.label_studio,
        os.environ.get("LABEL_STUDIO_API_KEY"),
        bounds,
        chosen.label_studio_score,
    )
    listener = listening(chosen)
    engine = engine_of(chosen)
    serving = new_serving(
        engine, bounds, wait_seconds=chosen.wait / 1000, threads=chosen.threads
    )
    count_compilations_in(serving.metrics)
    asked = caught_signals()
    print(f"{engine.name}: {address_of(*listener.getsockname()[:2])}", flush=True)
    start = time.monotonic()

    def tell() -> None:
        seconds, size = time.monotonic() - start, engine.batch_size
        canvases = " and ".join(f"{h} x {w}" for h, w in engine.canvases)
        line = f"ready after {seconds:.0f} s: batches of {size} on {canvases}"
        print(line, flush=True)

    running = start_server(make_app(serving, add), serving, listener, on_ready=tell)
    return run_until_signal(running, asked)


def bounds_of(chosen: Arguments) -> Bounds:
    """Returns the limits of requests."""
    return Bounds(
        body_bytes=round(chosen.max_megabytes * 1e6),
        pixels=round(chosen.max_megapixels * 1e6),
        requests=chosen.max_requests,
        answer_seconds=chosen.timeout,
        body_seconds=chosen.body_timeout,
    )


def listening(chosen: Arguments) -> socket.socket:
    """Returns the socket; raises ValueError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in chosen.host else socket.AF_INET
    try:
        return socket.create_server((chosen.host, chosen.port), family=family)
    except OSError as error:
        # Python's text names the address once more.
        said = (error.strerror or str(error)).partition(" (while")[0]
        line = f"port: {chosen.host}:{chosen.port}: {said}; give another --port"
        raise ValueError(line) from error


def address_of(host: str, port: int) -> str:
    """Returns the address that a browser takes."""
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def engine_of(chosen: Arguments) -> "Engine":
    """Returns the detector; raises ValueError for options that a file does not take."""
    from fpn_jax.inference.loading import load
    from fpn_jax.serving.artifact_file import artifact_engine, is_artifact
    from fpn_jax.serving.engine import predictor_engine, usual_batch_size

    if is_artifact(chosen.run):
        own = ("score_threshold", "nms_threshold", "max_detections", "dtype")
        for option in (*own, "experiment"):
            if getattr(chosen, option) is not None:
                name = option.replace("_", "-")
                raise ValueError(f"{name}: {str(chosen.run)!r} is a file, with its own")
        return artifact_engine(chosen.run, chosen.batch_size)
    predictor = load(
        chosen.run,
        chosen.checkpoint,
        dtype=chosen.dtype,
        score_threshold=chosen.score_threshold,
        nms_threshold=chosen.nms_threshold,
        max_detections=chosen.max_detections,
        batch_size=chosen.batch_size or usual_batch_size(),
        experiment=chosen.experiment,
        trust=chosen.trust,
    )
    # "." has a name, too; what is published is no path.
    path = chosen.run.resolve() if chosen.run.is_dir() else chosen.run
    return predictor_engine(predictor, path.name)


def caught_signals() -> list[int]:
    """Returns the list that SIGTERM and SIGINT are noted in; a second one ends all."""
    asked: list[int] = []

    def ask(number: int, _) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return asked


def run_until_signal(running: "Running", asked: Sequence[int]) -> int:
    """Returns the exit status once all requests are answered.

    It is 0 where a signal was noted, and 1 where the server ended by itself.
    """
    from fpn_jax.serving.running import stop_server

    while running.thread.is_alive() and not asked and not running.failures:
        time.sleep(_POLL)
    stop_server(running)
    if running.failures:
        raise running.failures[0]
    if asked:
        print("stopped", flush=True)
    else:
        line = "fpn-jax serve: the server ended without having been asked to"
        print(line, file=sys.stderr, flush=True)
    status = 0 if asked else 1
    if running.compiling.is_alive():
        os._exit(status)  # nothing ends a compilation
    return status


if __name__ == "__main__":
    sys.exit(main())
