"""One tree; each error is also what a careful caller already catches, says one line, and keeps its values."""

from __future__ import annotations

import errno
import pickle

import pytest

import socketkit
from socketkit import errors
from socketkit.errors import (
    AddressError,
    Attempt,
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
    StreamError,
    TruncatedFrameError,
    WouldBlock,
)

PARENTS = {
    AddressError: (ValueError,),
    OptionError: (ValueError,),
    OpenError: (OSError,),
    ResolveError: (OpenError,),
    ConnectError: (OpenError,),
    ListenError: (OpenError,),
    HandshakeError: (OpenError,),
    FramingError: (ValueError,),
    FrameTooLongError: (FramingError,),
    TruncatedFrameError: (FramingError,),
    StreamError: (),
    ClosedError: (StreamError, OSError),
    BrokenError: (StreamError, ConnectionError),
    BusyError: (StreamError, RuntimeError),
    EndOfStream: (StreamError, EOFError),
    DeadlineError: (TimeoutError,),
    WouldBlock: (BlockingIOError,),
}
KINDS = [getattr(errors, name) for name in errors.__all__ if name not in ("Attempt", "SocketkitError")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_are_builtin_subclasses(kind: type[SocketkitError]) -> None:
    """An error is ours and the built in that one would catch."""
    assert issubclass(kind, (SocketkitError,))
    for parent in PARENTS.get(kind, (SocketkitError,)):
        assert issubclass(kind, parent)
    assert getattr(socketkit, kind.__name__, kind) is kind


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_error_text_is_its_message(kind: type[SocketkitError]) -> None:
    """OSError would make more of its arguments."""
    error = kind("receiving from tcp://a:1: it was so")
    assert str(error) == error.message == "receiving from tcp://a:1: it was so"
    assert repr(error) == f"{kind.__name__}('receiving from tcp://a:1: it was so')"


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (ConnectError("c", address="a", errno=111, attempts=(Attempt("a", "no", 111),)), "address errno attempts"),
        (ListenError("l", address="tcp://a:1", errno=98), "address errno"),
        (BrokenError("b", errno=104), "errno"),
        (ClosedError("c"), "errno"),
        (FrameTooLongError("f", framing="lines", offset=7, size=9, max_size=8), "framing offset size max_size"),
        (TruncatedFrameError("t", framing="netstring", offset=0, partial=b"3:a"), "framing offset partial"),
        (DeadlineError("d", attempts=(Attempt("a", "silent"),)), "attempts"),
        (EndOfStream("e"), "message"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_pickle_with_values(error: SocketkitError, fields: str) -> None:
    """An error crosses processes with its values."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    for field in fields.split():
        assert getattr(again, field) == getattr(error, field)


def test_errno_is_kept() -> None:
    """The systems number is reported where there is one."""
    assert ConnectError("x", errno=errno.ECONNREFUSED).errno == errno.ECONNREFUSED
    assert ConnectError("x").errno is None
    assert ClosedError("x").errno == errno.EBADF
    assert BrokenError("x").errno is None


def test_an_attempt_reads_as_a_sentence() -> None:
    assert str(Attempt("tcp://[::1]:5000", "nobody listens there")) == "tcp://[::1]:5000: nobody listens there"
