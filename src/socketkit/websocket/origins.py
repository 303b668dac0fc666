"""Which web pages may connect (RFC 6455, 10.2): a browser sends the cookies of its user with every page's request."""

from __future__ import annotations

__all__ = ["is_allowed"]

_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


def is_allowed(origin: str | None, host: str, origins: tuple[str, ...] | None, *, is_secure: bool) -> bool:
    """Return whether a page of this origin may connect.

    Args:
        origin: what the client sent; None: nothing, so that it is no browser.
        host: what it asked for (`Host`).
        origins: which are allowed; `*`: all. None: the host itself.
        is_secure: whether it asked over TLS.
    """
    if origin is None:
        return True
    origin = origin.strip().lower()
    if origins is not None:
        return "*" in origins or any(_parts(allowed) == _parts(origin) for allowed in origins)
    scheme, _, place = origin.partition("://")
    if not place:
        return False  # null: a file, or a sandbox
    asked = _with_port(host.strip().lower(), "443" if is_secure else "80")
    # Behind a proxy that ends TLS the page is https, and we are not: the host decides.
    return _with_port(place, _PORTS.get(scheme, "")) == asked or place == host.strip().lower()


def _parts(origin: str) -> tuple[str, str]:
    scheme, _, place = origin.partition("://")
    return scheme, _with_port(place, _PORTS.get(scheme, ""))


def _with_port(place: str, port: str) -> str:
    return place if place.rpartition("]")[2].rpartition(":")[2].isdecimal() and ":" in place else f"{place}:{port}"
