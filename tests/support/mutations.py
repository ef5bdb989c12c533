"""Damaged copies of files, as disks, editors, networks and programs make them."""

import random
import re
from collections.abc import Callable

# A number, a quoted text, a word, a tag, a list or dictionary without one inside.
_TOKEN = re.compile(
    rb'"[^"\n]*"|-?\d+(?:\.\d+)?|\[[^\[\]]*\]|\{[^{}]*\}|<[^<>]*>|\w+|[,:;]'
)
_TOKENS = (
    *(b"", b"0", b"-1", b"0.5", b"1.25", b"7", b"1e309", b"-1e308", b"nan", b"-inf"),
    *(str(2**63).encode(), str(2**70).encode(), b"9" * 400, b"007", b"0x10"),
    *(b"true", b"null", b"~", b"[]", b"{}", b"[[1, 2]]", b'{"a": 1}', b'""', b'"1"'),
    *(b'"\\ud800"', b'"a\\nb"', b"'", b'"', b"`", b"\0", b"\t", b" ", b"\n", b"\r"),
    *("é".encode(), "é".encode("latin1"), "犬".encode(), b"\xff\xfe", b"\xef\xbb\xbf"),
    *(b"..", b"../../a", b"/", b"\\", b"C:\\a", b"%20", b"a" * 300, b"{}{}", b"%s"),
    *(b"<", b"</a>", b"<a>", b"&", b"&#0;", b"<!--", b":", b"- ", b"*a", b"&a", b"!!x"),
)
_Change = Callable[[bytes, random.Random], bytes]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Returns the bytes with one to three changes."""
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(_CHANGES)(data, rng)
    return data


def _other_token(data: bytes, rng: random.Random) -> bytes:
    tokens = [*_TOKEN.finditer(data[: 1 << 16])]
    if not tokens:
        return data
    found = rng.choice(tokens)
    new = rng.choice(_TOKENS) if rng.random() < 0.8 else rng.choice(tokens)[0]
    return data[: found.start()] + new + data[found.end() :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(0, len(data))]


def _without_a_span(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _with_a_span_twice(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] + data[end:]


def _with_zeros(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


def _with_flipped_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8) if data else 0):
        # Headers and directories are at the ends.
        place = rng.choice((rng.randrange(len(data)), rng.randrange(-64, 64)))
        changed[place % len(data)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _with_bytes_inserted(data: bytes, rng: random.Random) -> bytes:
    place = rng.randint(0, len(data))
    return data[:place] + rng.randbytes(rng.randint(1, 9)) + data[place:]


def _encoded_otherwise(data: bytes, rng: random.Random) -> bytes:
    text = data.decode("latin1")
    form = rng.choice(("utf-8-sig", "utf-16", "utf-8"))
    return text.replace("\n", rng.choice(("\n", "\r\n", "\r"))).encode(form)


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 64, 1024)))


_CHANGES: tuple[_Change, ...] = (
    *(_other_token, _other_token, _other_token, _other_token),
    *(_cut, _without_a_span, _with_a_span_twice, _with_zeros),
    *(_with_flipped_bits, _with_bytes_inserted, _encoded_otherwise),
)
