"""What a TLS handshake agreed on and the certificates that the peer sent, as lines and as facts for JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from socketkit.events import TlsFacts
from socketkit.tls.x509 import Certificate, read_certificate

__all__ = ["tls_facts", "tls_lines"]

_DAY: Final = 86_400.0


def tls_lines(facts: TlsFacts, *, now: float | None = None) -> list[str]:
    """The handshake in one line, then each certificate of the peer in one, its own first.

    Text of the peer is not escaped here.

    Args:
        facts: of the connection.
        now: seconds since 1970; None: the system's clock says it. The days until an expiry are counted from it.
    """
    agreed = [facts.version, facts.cipher, f"ALPN {facts.alpn}" if facts.alpn else "no ALPN"]
    agreed += [f"server name {facts.server_name}"] if facts.server_name else []
    agreed += ["resumed"] if facts.is_resumed else []
    lines = [", ".join(agreed)]
    for certificate in _chain(facts):
        names = [f"{kind}:{name}" for kind, name in certificate.alternative_names]
        lines.append(
            f"certificate: subject {certificate.subject}; issuer {certificate.issuer}; "
            f"names {', '.join(names) or 'none'}; {_expiry(certificate.expiry, now)}; pin {certificate.pin}"
        )
    return lines


def tls_facts(facts: TlsFacts, *, now: float | None = None) -> dict[str, Any]:
    """The same for JSON: version, cipher, alpn, server_name, is_resumed, and the chain.

    Each certificate has subject, issuer, alternative_names, expiry, days_left (rounded down: negative after
    the expiry; None where it cannot be read), fingerprint and pin.
    """
    chain = [
        {name: getattr(each, name) for name in type(each).fields} | {"days_left": _days_left(each.expiry, now)}
        for each in _chain(facts)
    ]
    names = ("version", "cipher", "alpn", "server_name", "is_resumed")
    return {name: getattr(facts, name) for name in names} | {"chain": chain}


def _chain(facts: TlsFacts) -> Iterator[Certificate]:
    for der in facts.peer_chain:
        try:
            yield read_certificate(der)
        except ValueError:
            pass  # OpenSSL can read it, and we cannot


def _seconds_left(expiry: str, now: float | None) -> float | None:
    try:
        end = datetime.strptime(f"{expiry[:-1]}+0000", "%Y-%m-%d %H:%M:%S%z").timestamp()
    except ValueError:
        return None  # a time in a form that RFC 5280 forbids
    return end - (time.time() if now is None else now)


def _days_left(expiry: str, now: float | None) -> int | None:
    seconds = _seconds_left(expiry, now)
    return None if seconds is None else int(seconds // _DAY)


def _expiry(expiry: str, now: float | None) -> str:
    seconds = _seconds_left(expiry, now)
    if seconds is None:
        return f"expiry {expiry}"
    days = int(abs(seconds) // _DAY)
    return f"expires {expiry} ({days} days left)" if seconds >= 0 else f"EXPIRED {expiry} ({days} days ago)"
