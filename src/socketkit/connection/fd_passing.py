"""Pass open descriptors with messages over a UNIX socket (unix(7), SCM_RIGHTS).

Bounded: descriptors that are not taken are held up to a number, and closed with the connection. Received descriptors
are not inheritable.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
from socketkit.errors import OptionError, StreamError
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import Stream

__all__ = ["MAX_DESCRIPTORS", "FdChannel", "ScmRights"]

MAX_DESCRIPTORS: Final = 253
"""As many as Linux passes with one message (SCM_MAX_FD), and as many as are held while no call takes them."""

_SIZE: Final = array.array("i").itemsize
_AF_UNIX: Final[int | None] = getattr(socket, "AF_UNIX", None)  # not on Windows
_CLOEXEC: Final[int] = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # Linux


class FdChannel:
    """The descriptors of one connection: which of those received belong to which message, and which leave with which.

    They are received from its creation on; before, the system drops them, as for every recv(2).
    """

    def __init__(self, session: Session, sender: Sender, stream: Stream) -> None:
        """Raises:
        StreamError: the stream is no UNIX socket.
        """
        if not isinstance(stream, SocketStream) or stream.socket.family != _AF_UNIX:
            raise StreamError(f"no descriptor can be passed to or from {stream.peer}: only UNIX sockets carry them")
        self._session = session
        self._sender = sender
        self._rights = ScmRights(stream.socket, self._settle)
        stream.call_by(self._rights.send, self._rights.receive)

    async def send(self, descriptors: Sequence[int], queue: Callable[[], Awaitable[None]]) -> None:
        """See `Connection.send_descriptors`; `queue` puts the message into the outgoing batch."""
        if not 1 <= len(descriptors) <= MAX_DESCRIPTORS:
            raise OptionError(f"{len(descriptors)} descriptors cannot be passed; allowed are 1 to {MAX_DESCRIPTORS}")
        sender = self._sender
        while not sender.is_empty:  # what was sent before leaves without them
            await sender.wait_empty()
            sender.check()
        try:
            self._rights.attach(descriptors)
        except OSError as error:
            raise OptionError(f"descriptors {list(descriptors)} cannot be passed: {error.strerror}") from None
        try:
            sending = queue()
            sender.flush()
            if sender.is_empty and self._rights.detach() and sender.error is None:
                raise OptionError("descriptors travel with a byte at least, and this message has none")
        except BaseException:
            self._rights.detach()
            raise
        await sending
        sender.check()

    async def receive(self, receive: Callable[[], Awaitable[Any]]) -> tuple[Any, tuple[int, ...]]:
        """See `Connection.receive_descriptors`; `receive` returns the next message."""
        message = await receive()
        self._settle()
        return message, self._rights.take(self._session.received_count - self._session.unread_count - 1)

    def _settle(self) -> None:
        """Assign received descriptors to a message.

        A read that brings descriptors ends with the bytes that they were sent with (unix(7)): so they belong to the
        last message that has begun by then. All of the read is decoded for that, however many messages it holds.
        """
        fresh = [group for group in self._rights.received if group.number is None]
        if not fresh:
            return
        self._session.decode_all()
        last = self._session.received_count - (0 if self._session.has_part else 1)
        for group in fresh:
            group.number = last

    def close(self) -> None:
        """Close the descriptors that were not taken."""
        self._rights.close()


class FdGroup:
    """Descriptors that were sent together.

    Attributes:
        descriptors: the holder's to close.
        number: of the message that they were sent with, as far as it is known.
    """

    def __init__(self, descriptors: list[int]) -> None:
        self.descriptors = descriptors
        self.number: int | None = None

    def close(self) -> None:
        """Close all of them."""
        while self.descriptors:
            os.close(self.descriptors.pop())


class ScmRights:
    """The descriptors of one socket, in both directions. Its `send` and `receive` replace send(2) and recv(2)."""

    def __init__(self, sock: socket.socket, settle: Callable[[], object]) -> None:
        """Args:
        sock: a UNIX stream socket.
        settle: is called before bytes are received, when those before are decoded.
        """
        self._socket = sock
        self._settle = settle
        self._leaving: list[int] = []
        self.received: list[FdGroup] = []

    def attach(self, descriptors: Sequence[int]) -> None:
        """Send these with the next byte. Copies travel: the originals may be closed at once.

        Raises:
            OSError: one of them is not open, or there are no descriptors left for copies; none is attached.
        """
        copies = FdGroup([])
        try:
            for descriptor in descriptors:
                copies.descriptors.append(os.dup(descriptor))
        except OSError:
            copies.close()
            raise
        self._leaving = copies.descriptors

    def detach(self) -> bool:
        """Close what is attached; return whether it was still here."""
        were_here = bool(self._leaving)
        FdGroup(self._leaving).close()
        return were_here

    def send(self, data: bytes | memoryview, flags: int = 0) -> int:
        """send(2), or sendmsg(2) with the attached descriptors."""
        if not self._leaving:
            return self._socket.send(data, flags)
        rights = array.array("i", self._leaving)
        count = self._socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], flags)
        if count:
            self.detach()  # the system has its own copies
        return count

    def receive(self, size: int, flags: int = 0) -> bytes:
        """recvmsg(2): bytes, and the descriptors that were sent with them.

        Raises:
            OSError: as recv(2); EMFILE where some were lost, because this process may open no more, or because those
                before were not taken.
        """
        self._settle()
        space = socket.CMSG_SPACE(MAX_DESCRIPTORS * _SIZE)
        data, ancillary, marks, _ = self._socket.recvmsg(size, space, flags | _CLOEXEC)
        if ancillary or marks & socket.MSG_CTRUNC:
            self._hold(ancillary, bool(marks & socket.MSG_CTRUNC))
        return data

    def _hold(self, ancillary: list[tuple[int, int, bytes]], is_cut: bool) -> None:
        group = FdGroup([])
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(data[: len(data) - len(data) % _SIZE])
                group.descriptors.extend(numbers)
        for descriptor in group.descriptors:
            os.set_inheritable(descriptor, False)  # where MSG_CMSG_CLOEXEC is not known
        held = sum(len(other.descriptors) for other in self.received)
        if is_cut or held + len(group.descriptors) > MAX_DESCRIPTORS:
            group.close()
            reason = "this process may open no more" if is_cut else f"{held} received before were not taken"
            raise OSError(errno.EMFILE, f"received descriptors were lost, because {reason}")
        if group.descriptors:
            self.received.append(group)

    def take(self, number: int) -> tuple[int, ...]:
        """Return those of a message; close those of messages before it, which were not taken."""
        taken: list[int] = []
        kept: list[FdGroup] = []
        for group in self.received:
            if group.number == number:
                taken.extend(group.descriptors)
            elif group.number is not None and group.number < number:
                group.close()
            else:
                kept.append(group)
        self.received = kept
        return tuple(taken)

    def close(self) -> None:
        """Close what is held, in both directions."""
        self.detach()
        while self.received:
            self.received.pop().close()
