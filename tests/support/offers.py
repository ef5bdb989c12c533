"""What commands offer on their help pages."""

import importlib
import io
from contextlib import redirect_stdout
from functools import cache
from unittest import mock

import pytest

from fpn_jax import command_line
from fpn_jax.options import Offer, help_page


@cache
def offered(words: tuple[str, ...], asked: str) -> tuple[Offer, str]:
    """Returns what a command offers, and the page that it prints."""
    offers, printed = [], io.StringIO()

    def remembering(offer: Offer, **options) -> str:
        offers.append(offer)
        return help_page(offer, **options, width=80)

    command, *others = words
    main = importlib.import_module(f"fpn_jax.{command}").main
    with mock.patch.object(command_line, "help_page", remembering):
        with redirect_stdout(printed), pytest.raises(SystemExit, match="0"):
            main([*others, asked])
    return offers[0], printed.getvalue()
