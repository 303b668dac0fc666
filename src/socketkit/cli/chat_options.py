"""Options of `chat host`: what is bounded, kept and asked for."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from socketkit.apps.chat.limits import Limits
from socketkit.apps.chat.web_address import page_address
from socketkit.cli.common_options import Read
from socketkit.cli.fast_click import option
from socketkit.config.languages import LANGUAGES, language_of_locale
from socketkit.config.quoting import quote
from socketkit.errors import OptionError

__all__ = [
    "bus_option",
    "chat_limits",
    "default_language",
    "language",
    "password_of",
    "password_option",
    "store_option",
    "web_option",
]

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]

MAX_PASSWORD_SIZE: Final = 1024


def _rate(text: str) -> float:
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = -1.0
    if not 0 <= rate < float("inf"):
        raise OptionError(f"{quote(text)} is no rate; allowed is a number of lines a second: 10, 0.5, 0 (no limit)")
    return rate


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise OptionError(f"{quote(text)} is no count; allowed is a whole number")
    return int(text)


def _guests(text: str) -> int:
    if not (count := _count(text)):
        raise OptionError("a chat for 0 guests; allowed is 1 or more")
    return count


def _bus(text: str) -> Any:
    from socketkit.apps.chat.bus.url import BusAddress

    return BusAddress.parse(text)


_rate_option: Decorator = option(
    "--rate",
    metavar="LINES/s",
    type=Read("rate", _rate),
    default="0",
    help="Lines a second of each guest, after 60 at once; beyond it the guest waits (default 0: no limit).",
)
_max_guests_option: Decorator = option(
    "--max-guests",
    metavar="COUNT",
    type=Read("count", _guests),
    default="1000",
    help="Guests at a time; more are told that the chat is full (default 1000).",
)
_history_option: Decorator = option(
    "--history",
    metavar="COUNT",
    type=Read("count", _count),
    default="50",
    help="Lines said before that are shown to whoever joins a room (default 50).",
)


def chat_limits(function: F) -> F:
    """--rate, --max-guests and --history, which the function gets as one value, `limits`."""

    @functools.wraps(function)
    def with_limits(*args: Any, rate: float, max_guests: int, history: int, **options: Any) -> Any:
        limits = Limits(rate=rate or None, max_guests=max_guests, history_count=history)
        return function(*args, limits=limits, **options)

    decorated: F = _rate_option(_max_guests_option(_history_option(with_limits)))
    return decorated


web_option: Decorator = option(
    "--web",
    metavar="ADDRESS",
    type=Read("address", page_address),
    help="Serve a page there for guests with a browser: http://localhost:8080, https:// with --cert.",
)
store_option: Decorator = option(
    "--store",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Keep what is said in this SQLite file; without it, it is kept in memory.",
)
bus_option: Decorator = option(
    "--bus",
    metavar="ADDRESS",
    type=Read("bus", _bus),
    help="One chat with the other hosts at this bus: nats://HOST:4222 or redis://HOST:6379, perhaps with ?chat=NAME.",
)
password_option: Decorator = option(
    "--password-file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="The first line of this file is the password of the chat.",
)
language: Decorator = option(
    "--lang",
    "language",
    metavar="|".join(LANGUAGES),
    type=click.Choice(LANGUAGES),
    help="The language of the chat's texts (default: the locale's).",
)


def default_language(given: str | None) -> str:
    """The language that was asked for, or that of the locale."""
    return given or language_of_locale(os.environ)


def password_of(path: str | None) -> str | None:
    """The password in a file: its first line; None where there is no file.

    Raises:
        OptionError: the file cannot be read, or its first line is empty or too long.
    """
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            password = file.readline(MAX_PASSWORD_SIZE + 2).rstrip(b"\r\n").decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise OptionError(f"--password-file {quote(path)}: {reason}") from None
    if not password or len(password) > MAX_PASSWORD_SIZE:
        reason = "its first line is empty" if not password else f"its first line is longer than {MAX_PASSWORD_SIZE}"
        raise OptionError(f"--password-file {quote(path)}: {reason}")
    return password
