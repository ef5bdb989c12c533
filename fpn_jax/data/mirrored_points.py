"""Pairs the keypoints that change places in a mirror, by their names.

A name says its side by a word, `left` or `right`, `l` or `r`, in capitals or not, set
apart by blanks, `_`, `-`, `.` or a capital: `left_eye`, `Left-eye`, `leftEye`, `L_Eye`,
`eye.r`, `paw_L`; by `left` or `right` anywhere within it, `lefteye`; or by its first
letter alone, `lsho` beside `rsho`.
"""

import re
from collections.abc import Iterator, Sequence

_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}
_LONG = re.compile("left|right")
# A capital begins a word behind a small letter or a digit, and before a small letter
# where capitals stand in front of it: `leftEye`, `LEye`.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")

_Words = tuple[str, ...]


def mirrored_points(names: Sequence[str]) -> tuple[int, ...]:
    """For each of the P points the one on its other side, or itself.

    A mirror's mirror is the object again: the result is its own inverse.
    """
    words = [_words(name) for name in names]
    flip = list(range(len(names)))
    for spell in (_by_word, _by_part, _by_letter):
        for point, own in enumerate(words):
            if flip[point] != point:
                continue
            free = (other for other in range(len(names)) if flip[other] == other)
            spellings = list(spell(own))
            for other in free:
                if other != point and words[other] in spellings:
                    flip[point], flip[other] = other, point
                    break
    return tuple(flip)


def one_sided(names: Sequence[str], flip: Sequence[int]) -> list[str]:
    """The names that say a side and stay where they are in a mirror."""
    return [
        name
        for point, name in enumerate(names)
        if flip[point] == point
        and any(word in _OTHER or _LONG.match(word) for word in _words(name))
    ]


def _words(name: str) -> _Words:
    """The words of a name in small letters: ("left", "eye") of `leftEye`."""
    return tuple(word.lower() for word in _WORD.findall(name))


def _by_word(words: _Words) -> Iterator[_Words]:
    """The name with every word that is a side exchanged; of letters also only one."""
    for sides in (("left", "right"), ("l", "r")):
        found = [place for place, word in enumerate(words) if word in sides]
        if found:
            yield tuple(
                _OTHER[word] if place in found else word
                for place, word in enumerate(words)
            )
        for place in found:
            yield (*words[:place], _OTHER[words[place]], *words[place + 1 :])


def _by_part(words: _Words) -> Iterator[_Words]:
    if any(_LONG.search(word) for word in words):
        yield tuple(_LONG.sub(lambda side: _OTHER[side[0]], word) for word in words)


def _by_letter(words: _Words) -> Iterator[_Words]:
    """The name with the first letter of a word exchanged, `rsho` of `lsho`."""
    for place, word in enumerate(words):
        if word[0] in _OTHER and len(word) > 1 and not _LONG.match(word):
            yield (*words[:place], _OTHER[word[0]] + word[1:], *words[place + 1 :])
