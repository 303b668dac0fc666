"""The languages that the command speaks to people: the chat, its page, the tour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["LANGUAGES", "language_of_locale"]

LANGUAGES: Final = ("en", "ru")


def language_of_locale(environment: Mapping[str, str]) -> str:
    """The language that the locale asks for, as gettext finds it; English where there is no such language."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(variable):
            return "ru" if value.startswith("ru") else "en"
    return "en"
