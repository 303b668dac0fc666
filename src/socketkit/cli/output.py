"""The only module that prints: lines to standard error, text that is safe for a terminal, and exit statuses.

Standard output carries payload and nothing else. A failure is one line; a peer's bytes never reach a terminal raw.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

from socketkit.cli.option_words import in_options
from socketkit.config.address import Address
from socketkit.errors import (
    AddressError,
    DeadlineError,
    FramingError,
    OpenError,
    OptionError,
    StreamError,
)
from socketkit.sockets.systemd import notify

__all__ = [
    "Status",
    "excerpt",
    "print_block",
    "print_failure",
    "print_line",
    "print_listening",
    "printing_above",
    "status_of",
    "visible",
]

ERRORS: Final = 2
"""The descriptor of standard error. Lines go there by one write each, so that those of two threads never mix."""

MAX_EXCERPT_SIZE: Final = 160
"""Bytes of data that a line shows: two lines of an old terminal."""


class Status(IntEnum):
    """How the command ends, as a shell sees it; each with its reason."""

    DONE = 0, "success; a server was stopped, and drained; standard output was closed by its reader"
    FAILED = 1, "any other failure"
    USAGE = 2, "usage, a bad address or option; nothing was opened"
    NOT_OPENED = 3, "not opened: refused, unresolved, no permission, address in use, failed handshake"
    BROKEN = 4, "the connection was lost: a reset, a peer that vanished"
    FRAMING = 5, "bytes, or a message, violate the framing"
    ABANDONED = 6, "data was given up: a linger ran out, or output was left unsent"
    DEADLINE = 124, "a timeout, with the status of timeout(1)"
    NOT_RUN = 126, "a command could not be run, as shells have it"
    NOT_FOUND = 127, "a command was not found, as shells have it"
    INTERRUPTED = 130, "a client was ended by SIGINT: 128 + 2, as shells have it"
    TERMINATED = 143, "a client was ended by SIGTERM: 128 + 15"

    reason: str

    def __new__(cls, value: int, reason: str) -> Status:
        """A number with its reason."""
        status = int.__new__(cls, value)
        status._value_ = value
        status.reason = reason
        return status


def status_of(error: BaseException) -> Status:
    """The status that an error ends the command with."""
    from socketkit.apps.talk.conversation import AbandonedError

    if isinstance(error, OpenError) and error.address.startswith("exec:"):
        return Status.NOT_FOUND if error.errno == errno.ENOENT else Status.NOT_RUN
    for kinds, status in (
        ((AddressError, OptionError), Status.USAGE),
        ((OpenError,), Status.NOT_OPENED),
        ((AbandonedError,), Status.ABANDONED),
        ((FramingError,), Status.FRAMING),
        ((DeadlineError,), Status.DEADLINE),
        ((StreamError,), Status.BROKEN),
        ((KeyboardInterrupt,), Status.INTERRUPTED),
    ):
        if isinstance(error, kinds):
            return status
    return Status.FAILED


def print_line(line: str) -> None:
    """Write a line to standard error. Nothing is raised where it was closed."""
    if _editors:
        _editors[-1](visible(line))
    else:
        _write(f"{visible(line)}\n")


def print_block(lines: str) -> None:
    """Write several whole lines to standard error, in one piece. The caller has escaped them."""
    if _editors:
        for line in lines.splitlines():
            _editors[-1](line)
    else:
        _write(lines)


STALLED_TIMEOUT: Final = 5.0
"""Seconds for a reader of a non-blocking standard error to make space, before lines are left out."""

_left_out_size = 0


def _write(text: str) -> None:
    """Write to standard error. Where it is non-blocking and full, wait for space; report what was left out later."""
    global _left_out_size
    if _left_out_size:
        if not _wait_room(0):
            _left_out_size += len(text)
            return
        size, _left_out_size = _left_out_size, 0
        text = f"\nsocketkit: {size} bytes of standard error were left out here, because they were not read\n{text}"
    data = memoryview(text.encode(errors="backslashreplace"))
    while data:
        try:
            data = data[os.write(ERRORS, data) :]
        except BlockingIOError:
            if not _wait_room(STALLED_TIMEOUT):
                _left_out_size += len(data)
                return
        except OSError:
            return  # it was closed by its reader


def _wait_room(seconds: float) -> bool:
    import select

    return bool(select.select([], [ERRORS], [], seconds)[1])


_editors: list[Callable[[str], object]] = []


@contextmanager
def printing_above(show: Callable[[str], object]) -> Iterator[None]:
    """While the block runs, a line editor has the terminal: lines for standard error are shown above it, by this."""
    if not os.isatty(ERRORS):
        yield
        return
    _editors.append(show)
    try:
        yield
    finally:
        _editors.remove(show)


def print_failure(error: BaseException | str) -> None:
    """One line for a failure, in the words of the verb's options; at a terminal one more, where a page explains it."""
    text = in_options(str(error) or type(error).__name__)
    for cause in (error, getattr(error, "__cause__", None)):
        if isinstance(cause, OSError) and cause.errno == errno.EMFILE:
            text = _with_limit(text)
            break
    print_line(f"socketkit: {' '.join(text.split())}")
    if isinstance(error, Exception) and os.isatty(ERRORS):
        from socketkit.cli.error_pages import code_of

        code = code_of(error)
        if code is not None:
            print_line(f"explained by: socketkit help errors {code}")


def _with_limit(text: str) -> str:
    """The text for EMFILE, with the limit that was reached, and how it is raised."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return f"{text.replace(f'[Errno {errno.EMFILE}] ', '')}: this process may have {limit} (ulimit -n)"


_HERE: Final = ("stdio", "exec", "fd", "systemd")


def print_listening(
    addresses: Iterable[Address], ready_fd: int | None = None, *, shown: Callable[[Address], str] = str
) -> None:
    """Print the `listening` line of each address, also to the ready descriptor. Where the only connection is here
    already (standard input and output, say) no line is printed. The service manager is notified.

    Args:
        addresses: the real ones.
        ready_fd: the descriptor; None: there is none.
        shown: how an address is written.
    """
    addresses = [address for address in addresses if address.scheme not in _HERE]
    for address in addresses:
        print_line(f"listening {shown(address)}")
    if ready_fd is not None:
        data = "".join(f"listening {shown(address)}\n" for address in addresses).encode(errors="backslashreplace")
        try:
            os.write(ready_fd, data)  # less than a pipe takes in one piece
        except OSError:
            pass  # nobody waits any more
        if ready_fd > ERRORS:
            os.close(ready_fd)
    notify("READY=1")


def visible(text: str) -> str:
    """The text with everything escaped that a terminal would obey or not show: `\\x1b`; a tab stays."""
    if text.isascii() and text.isprintable():
        return text
    from socketkit.apps.terminal_escape import visible as in_full

    return in_full(text)


def excerpt(data: bytes) -> str:
    """Data as one quoted, escaped piece of a line, cut at a bound: `"a\\n"`; `"abc"...` where it was cut."""
    cut = data[:MAX_EXCERPT_SIZE]
    is_cut = len(cut) < len(data)
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(cut, final=not is_cut)
    return '"' + re.sub(_SPECIAL, _written_out, visible(re.sub(_ESCAPED, _escaped, text))) + ('"...' if is_cut else '"')


_ESCAPED: Final = r'[\\"\n\r\t]'
_NAMES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", '"': '\\"'}
_SPECIAL: Final = r"\\udc([89a-f][0-9a-f])"


def _escaped(match: re.Match[str]) -> str:
    return _NAMES[match[0]]


def _written_out(match: re.Match[str]) -> str:
    return f"\\x{match[1]}"
