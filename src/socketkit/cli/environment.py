"""What the command runs on, for reports of faults: `socketkit --version -v`."""

from __future__ import annotations

import platform
import re
import ssl
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from socketkit import engines

__all__ = ["environment_lines"]

_DISTRIBUTION: Final = "socketkit"
_NOT_FOR_USERS: Final = ("all", "bench", "dev", "fuzz", "reliability")
"""Extras of other extras, and of those who work on socketkit."""

_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+).*extra *== *['\"]([a-z]+)['\"]")


def environment_lines() -> tuple[str, ...]:
    """The interpreter, the platform, OpenSSL, the engines and the extras: a line each, `name: value`."""
    extras = _extras()
    present = [f"{name} ({', '.join(filter(None, found))})" for name, found in extras.items() if all(found)]
    return (
        f"python: {platform.python_version()} ({platform.python_implementation()}), {sys.executable}",
        f"platform: {platform.platform()}",
        f"TLS: {ssl.OPENSSL_VERSION}",
        f"core: {'compiled' if engines.is_compiled() else 'Python (not compiled, or SOCKETKIT_PURE is set)'}",
        f"engines: {', '.join(filter(engines.is_available, engines.NAMES))}",
        f"engines missing: {', '.join(name for name in engines.NAMES if not engines.is_available(name)) or 'none'}",
        f"extras: {', '.join(present) or 'none'}",
        f"extras missing: {', '.join(name for name, found in extras.items() if not all(found)) or 'none'}",
    )


def _extras() -> dict[str, list[str | None]]:
    """Each extra, and its packages with their versions; None for one that is missing."""
    extras: dict[str, list[str | None]] = {}
    try:
        wanted = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:  # run from a source tree that was not installed
        return extras
    for requirement in wanted:
        match = _REQUIREMENT.match(requirement)
        if match is not None and match[2] not in _NOT_FOR_USERS:
            extras.setdefault(match[2], []).append(_installed(match[1]))
    return extras


def _installed(name: str) -> str | None:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return None
