"""The language that the locale asks for."""

from __future__ import annotations

import pytest

from socketkit.config import languages


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "ru_RU", "LC_ALL": "C.UTF-8"}, "en"),
        ({}, "en"),
        ({"LANG": "de"}, "en"),
    ],
)
def test_language_of_the_locale(environment: dict[str, str], language: str) -> None:
    assert languages.language_of_locale(environment) == language
