"""Published weights by name: what there is, and how it comes here.

`MODELS` is the table, a `PublishedModel` for each name: the official address of its
file, what is known of the file, and what was measured with it. `weights_file` returns
the file, downloaded once into the user's cache, or taken from where `FPN_JAX_WEIGHTS`
says: a directory with the files, or the address of a mirror.

No file is used that is not the published one. Of torchvision's the name has the first
digits of the SHA-256, of Detectron2's those of the MD5; of YOLOX's nothing is
published, so that the first file that came whole and fits the model is the one. A
download that breaks off is gone on with, at once or by a later call, and two processes
that want a file download it once.
"""

from fpn_jax.weights.models.cache import weights_file
from fpn_jax.weights.models.entry import PublishedModel
from fpn_jax.weights.models.table import MODELS

__all__ = ["MODELS", "PublishedModel", "weights_file"]
