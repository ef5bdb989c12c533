"""Feature pyramid networks for object detection in JAX (Lin et al. 2017)."""

__version__ = "0.1.0"


def __getattr__(name: str):
    # `fpn_jax.load` reads files and images; modules and operators need none of that.
    if name == "load":
        from fpn_jax.inference import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
