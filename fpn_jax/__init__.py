"""Feature pyramid networks for object detection in JAX (Lin et al. 2017)."""

__version__ = "0.1.0"
