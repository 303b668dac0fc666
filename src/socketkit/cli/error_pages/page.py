"""A page about an error, in both languages."""

from __future__ import annotations

from typing import Final

from socketkit.errors import SocketkitError
from socketkit.values import Value

__all__ = ["HEADINGS", "ErrorPage", "Words"]


class Words(Value):
    """A page in one language.

    Attributes:
        title: what somebody reads, and searches for.
        meaning: what has happened.
        causes: why it happens, the most frequent first.
        tries: what to try, in this order.
    """

    title: str
    meaning: str
    causes: tuple[str, ...]
    tries: tuple[str, ...]


class ErrorPage(Value):
    """One kind of failure, by the exception that reports it."""

    raised: type[SocketkitError]
    en: Words
    ru: Words


HEADINGS: Final = {
    "en": ("What it means", "Why", "What to try"),
    "ru": ("Что это значит", "Почему", "Что попробовать"),
}
