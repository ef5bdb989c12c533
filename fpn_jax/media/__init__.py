"""Pictures as people have them: folders, archives, addresses, videos, cameras.

`find_sources` turns what was typed into what opens a `Source` each: its pictures, how
many they are where that is known, and whether they are frames of a video. A `Picture`
has a name and a function that decodes it. `decoded` decodes pictures ahead in threads;
one that cannot be decoded is told and left out, and ends nothing. `Video` writes frames
into a file.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.media.decoding import decoded
    from fpn_jax.media.picture import Picture, Source
    from fpn_jax.media.sources import find_sources
    from fpn_jax.media.video import Video

__all__ = [
    "Picture",
    "Source",
    "Video",
    "decoded",
    "find_sources",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.media.decoding": ("decoded",),
        "fpn_jax.media.picture": ("Picture", "Source"),
        "fpn_jax.media.sources": ("find_sources",),
        "fpn_jax.media.video": ("Video",),
    },
)
