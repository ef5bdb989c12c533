"""The keypoint names and skeletons in the categories of a COCO annotation file."""

from fpn_jax.data.class_names import is_writable
from fpn_jax.data.defects import Defect
from fpn_jax.data.example import KeypointSpec
from fpn_jax.data.mirrored_points import mirrored_points, one_sided

NOT_PAIRED = "keypoints not paired"  # kind of the note


def keypoint_spec(name: str, categories: list[dict]) -> KeypointSpec | None:
    """The keypoints that the categories name, or None if there are none.

    Points change places in a mirror as `flip_indices` of a category says, which counts
    them from 0, or as their names tell.

    Raises ValueError for keypoints that are no names, for a skeleton or a mirror of
    other points, and where two categories have different keypoints.
    """
    having = [row for row in categories if row.get("keypoints")]
    if not having:
        return None
    for row in having[1:]:
        if row["keypoints"] != having[0]["keypoints"]:
            raise ValueError(
                f"{name}: categories {having[0]['name']!r} and {row['name']!r} have "
                "different keypoints, must be the same"
            )
    points = having[0]["keypoints"]
    if not isinstance(points, list) or not all(map(_is_name, points)):
        raise ValueError(
            f"{name}: keypoints {points!r:.60} of category {having[0]['name']!r} must "
            "be a list of names"
        )
    names = tuple(points)
    return KeypointSpec(
        names=names,
        flip=_flip(name, having[0].get("flip_indices"), names),
        skeleton=_skeleton(name, having[0].get("skeleton"), len(names)),
    )


def flip_notes(spec: KeypointSpec | None, categories: list[dict]) -> list[Defect]:
    """Says once which points a flip should exchange and cannot, by their names."""
    given = any(row.get("flip_indices") is not None for row in categories)
    if spec is None or len(spec.names) < 2 or given:
        return []
    single = one_sided(spec.names, spec.flip)
    if single:
        reason = (
            f"a flip exchanges left and right, but no other side of {single[0]!r} was "
            f"found{f', nor of {len(single) - 1} more' if len(single) > 1 else ''}"
        )
    elif spec.flip == tuple(range(len(spec.names))):
        reason = (
            f"a flip exchanges left and right, but no two of {len(spec.names)} points "
            f"are a pair by their names, as left_eye and right_eye; the first is "
            f"{spec.names[0]!r}"
        )
    else:
        return []
    return [Defect(NOT_PAIRED, "keypoints", reason, note=True)]


def _is_name(value: object) -> bool:
    return isinstance(value, str) and is_writable(value)


def _flip(name: str, given: object, names: tuple[str, ...]) -> tuple[int, ...]:
    if given is None:
        return mirrored_points(names)
    points = range(len(names))
    if (
        not isinstance(given, list)
        or len(given) != len(names)
        or not all(type(point) is int and point in points for point in given)
        or any(given[given[point]] != point for point in points)
    ):
        raise ValueError(
            f"{name}: flip_indices {given!r:.60} must give each of {len(names)} points "
            "another or itself, and lead back"
        )
    return tuple(given)


def _skeleton(name: str, pairs: object, num_points: int) -> tuple[tuple[int, int], ...]:
    """The pairs of points, which COCO counts from 1, counted from 0."""
    pairs = pairs or []
    if not isinstance(pairs, list) or not all(_is_pair(p, num_points) for p in pairs):
        raise ValueError(
            f"{name}: skeleton {pairs!r:.60} must be pairs of 1 … {num_points}"
        )
    return tuple((int(start) - 1, int(end) - 1) for start, end in pairs)


def _is_pair(pair: object, num_points: int) -> bool:
    numbers = range(1, num_points + 1)
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(end, int | float) and end in numbers for end in pair)
    )
