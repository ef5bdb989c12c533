"""A detector behind HTTP: requests in, JSON of the objects out.

An `Engine` is a detector as a server runs it: a few canvases, and one program for each
of them that takes batches of one size. `predictor_engine` makes it of a run,
`artifact_engine` of an exported file. A `Batcher` has one thread for the device: it
puts images of a canvas that wait at the same time through the program together.
`make_app` is the application that decodes, asks the batcher and answers; what it
refuses is a `Refused`, a status with one line. `start_server` and `stop_server` run it:
a server that is stopped answers all that it has accepted.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.serving.app import make_app
    from fpn_jax.serving.artifact_file import artifact_engine
    from fpn_jax.serving.batching import Batcher
    from fpn_jax.serving.bounds import Bounds
    from fpn_jax.serving.engine import Engine, predictor_engine
    from fpn_jax.serving.refusals import Refused
    from fpn_jax.serving.running import start_server, stop_server

__all__ = [
    "Batcher",
    "Bounds",
    "Engine",
    "Refused",
    "artifact_engine",
    "make_app",
    "predictor_engine",
    "start_server",
    "stop_server",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.serving.app": ("make_app",),
        "fpn_jax.serving.artifact_file": ("artifact_engine",),
        "fpn_jax.serving.batching": ("Batcher",),
        "fpn_jax.serving.bounds": ("Bounds",),
        "fpn_jax.serving.engine": ("Engine", "predictor_engine"),
        "fpn_jax.serving.refusals": ("Refused",),
        "fpn_jax.serving.running": ("start_server", "stop_server"),
    },
)
