"""What people ask about an error: what it means, why it comes, what to try. In English and Russian, one table.

`socketkit help errors CODE` shows a page; `docs/errors/CODE.md` is the same. A failure at a terminal names its code.
"""

from __future__ import annotations

import errno
from typing import Final

from socketkit.cli.error_pages.connections import CONNECTIONS
from socketkit.cli.error_pages.opening import OPENING
from socketkit.cli.error_pages.page import HEADINGS, ErrorPage, Words
from socketkit.errors import (
    AddressError,
    BrokenError,
    BusyError,
    ClosedError,
    ConnectError,
    DeadlineError,
    EndOfStream,
    FrameTooLongError,
    FramingError,
    HandshakeError,
    ListenError,
    OpenError,
    OptionError,
    ResolveError,
    SocketkitError,
    TruncatedFrameError,
)

__all__ = ["HEADINGS", "PAGES", "ErrorPage", "Words", "code_of"]

PAGES: Final[dict[str, ErrorPage]] = OPENING | CONNECTIONS
"""Every page, by its code."""

_BY_NUMBER: Final[dict[type[SocketkitError], dict[int, str]]] = {
    ConnectError: {
        errno.ECONNREFUSED: "refused",
        errno.ETIMEDOUT: "no-answer",
        errno.ENETUNREACH: "unreachable",
        errno.EHOSTUNREACH: "unreachable",
    },
    ListenError: {errno.EADDRINUSE: "in-use", errno.EADDRNOTAVAIL: "not-local"},
    OpenError: {
        errno.EACCES: "permission",
        errno.EPERM: "permission",
        errno.ENOENT: "no-file",
        errno.EMFILE: "too-many-files",
        errno.ENFILE: "too-many-files",
    },
    BrokenError: {errno.ECONNRESET: "reset", errno.EPIPE: "broken-pipe"},
}

_BY_TYPE: Final[dict[type[SocketkitError], str]] = {
    AddressError: "bad-address",
    OptionError: "bad-option",
    ResolveError: "unknown-name",
    FrameTooLongError: "too-long",
    TruncatedFrameError: "truncated",
    EndOfStream: "ended",
    ClosedError: "closed",
    DeadlineError: "deadline",
}

_BY_PHRASE: Final[dict[type[SocketkitError], tuple[tuple[str, str], ...]]] = {
    HandshakeError: (
        ("certificate of ours", "client-certificate"),
        ("our certificate", "client-certificate"),
        ("certificate is refused", "certificate"),
        ("certificate verify failed", "certificate"),
        ("does not speak tls", "not-tls"),
        ("may not speak tls", "not-tls"),
        ("wrong version number", "not-tls"),
        ("record layer failure", "not-tls"),
    ),
    FramingError: (
        ("is not utf-8", "not-text"),
        ("json is malformed", "not-json"),
        ("nothing was encoded", "not-sendable"),
    ),
    BusyError: (("runs an async engine", "blocking-in-async"), ("", "busy")),
}
"""Where one class of error has several pages: what the text contains, and its page."""


def code_of(error: BaseException) -> str | None:
    """Return the code of the page about this error; None: there is none."""
    if not isinstance(error, SocketkitError):
        return None
    for kind, codes in _BY_NUMBER.items():
        if isinstance(error, kind) and error.errno in codes:
            return codes[error.errno]
    for kind, code in _BY_TYPE.items():
        if isinstance(error, kind):
            return code
    if isinstance(error, HandshakeError) and error.status is not None:
        return "upgrade-refused"
    text = str(error).lower()
    phrases = [phrase for kind, phrases in _BY_PHRASE.items() if isinstance(error, kind) for phrase in phrases]
    return next((code for phrase, code in phrases if phrase in text), None)
