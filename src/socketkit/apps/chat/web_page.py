"""The chat's page: plain files of this package, without a build step and without anything from elsewhere.

By its Content-Security-Policy it runs its own script and style only, connects to its own host only, and is framed
nowhere. Its script makes elements and text, never markup: Trusted Types hold it to that.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from socketkit.apps.chat.web_address import SOCKET_PATH
from socketkit.config.languages import LANGUAGES
from socketkit.config.websocket_settings import Request, Response

__all__ = ["respond"]

_KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FILES: Final = ("chat.css", "icon.svg", "chat.js", "link.js", "lists.js", "log.js", "rows.js", "state.js", "texts.js")

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Cache-Control", "no-cache"),
)


def respond(request: Request, *, language: str | None = None, default: str = "en") -> Response:
    """Answer a plain GET or HEAD.

    Args:
        request: as it came.
        language: of the page; None: what the browser asks for.
        default: of the page, for browsers that ask for none of the chat's.
    """
    if request.path == SOCKET_PATH:
        return Response(426, "this is a WebSocket: ask for an upgrade\n", (("Upgrade", "websocket"), *_HEADERS))
    name = "chat.html" if request.path == "/" else request.path[1:]
    if name not in _FILES and request.path != "/":
        return Response(404, "there is nothing here: the chat is at /\n", _HEADERS)
    body = _file(name)
    if request.path == "/":
        wanted = language or _wanted_language(request) or default
        body = body.replace(b'lang="en"', f'lang="{wanted}"'.encode(), 1)
    return Response(200, body, (("Content-Type", _KINDS[name.rpartition(".")[2]]), *_HEADERS))


@cache
def _file(name: str) -> bytes:
    return files("socketkit.apps.chat").joinpath("page", name).read_bytes()


def _wanted_language(request: Request) -> str | None:
    """The language that the browser wants most of those that the page has; None: it wants none of them."""
    wanted: list[tuple[float, str]] = []
    for part in (request.header("accept-language") or "").split(",")[:20]:
        name, _, quality = part.strip().partition(";q=")
        try:
            wanted.append((-float(quality or 1), name.strip().lower()[:2]))
        except ValueError:
            continue
    return next((name for _, name in sorted(wanted, key=lambda each: each[0]) if name in LANGUAGES), None)
