"""Options of the commands: how they are declared, explained and refused.

`declared` reads the options of a dataclass through tyro: an `Offer` of `Option`s, whose
texts are the comments of the fields, each a sentence of its own. `help_page` shows
them, the common ones or all. `refusal` says in one line what is wrong with the words of
a user, and `check_other_names` knows the options of other libraries: `--epochs`,
`--imgsz`, `--conf`.
"""

from fpn_jax.options.declared import Offer, Option, declared
from fpn_jax.options.other_names import check_other_names
from fpn_jax.options.page import help_page
from fpn_jax.options.refusal import refusal

__all__ = [
    "Offer",
    "Option",
    "check_other_names",
    "declared",
    "help_page",
    "refusal",
]
