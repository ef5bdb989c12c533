"""Translates a `config.json` of earlier versions into today's fields."""

from typing import Any

_DATA = "fpn_jax.training.config.DataConfig"
_POOL = "fpn_jax.heads.roi_pool.RoIPool"
_POOL_FIELDS = ("levels", "canonical_size", "size", "sampling_ratio", "aligned")
# The cells of a side where a head that pools said nothing.
_POOL_SIZES = {
    "fpn_jax.heads.box.BoxHead": 7,
    "fpn_jax.heads.mask.MaskHead": 14,
    "fpn_jax.heads.keypoint.KeypointHead": 14,
}


def upgraded(tree: Any) -> Any:
    """Returns a tree of `config.json` as this version writes it."""
    if isinstance(tree, list):
        return [upgraded(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {key: upgraded(item) for key, item in tree.items()}
    if tree.get("class") == _DATA:
        return _renamed(tree, "colour", "color")
    if tree.get("class") in _POOL_SIZES:
        return with_pool(tree, _POOL_SIZES[tree["class"]])
    return tree


def _renamed(tree: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if key == old else key: value for key, value in tree.items()}


def with_pool(tree: dict[str, Any], size: int) -> dict[str, Any]:
    """Returns a head whose pooling is one value, `pool`."""
    pool = {key: tree[key] for key in _POOL_FIELDS if key in tree}
    if not pool:
        return tree
    rest = {key: value for key, value in tree.items() if key not in pool}
    return rest | {"pool": {"class": _POOL, "size": size} | pool}
