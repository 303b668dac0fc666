"""Pass descriptors with messages: which of those that arrive belong to which message, and which leave with which."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from socketkit.connection.scm_rights import MAX_DESCRIPTORS, ScmRights
from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
from socketkit.errors import OptionError, StreamError
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import Stream

__all__ = ["FdChannel"]


class FdChannel:
    """The descriptors of one connection. From its making on, those that come are received; before, the system drops
    them, as it does for every `recv`."""

    def __init__(self, session: Session, outgoing: Sender, stream: Stream) -> None:
        """Raises:
        StreamError: no descriptor can travel there.
        """
        if not isinstance(stream, SocketStream) or stream.socket.family != getattr(socket, "AF_UNIX", None):
            raise StreamError(f"no descriptor can be passed to or from {stream.peer}: only UNIX sockets carry them")
        self._session = session
        self._outgoing = outgoing
        self._parcels = ScmRights(stream.socket, self._settle)
        stream.call_by(self._parcels.send, self._parcels.receive)

    async def send(self, descriptors: Sequence[int], queue: Callable[[], Awaitable[None]]) -> None:
        """See `Connection.send_descriptors`; `queue` puts the message into the outgoing batch."""
        if not 1 <= len(descriptors) <= MAX_DESCRIPTORS:
            raise OptionError(f"{len(descriptors)} descriptors cannot travel; allowed are 1 to {MAX_DESCRIPTORS}")
        outgoing = self._outgoing
        while not outgoing.is_empty:  # what was sent before goes without them
            await outgoing.wait_empty()
            outgoing.check()
        try:
            self._parcels.attach(descriptors)
        except OSError as error:
            raise OptionError(f"descriptors {list(descriptors)} cannot be passed: {error.strerror}") from None
        try:
            sending = queue()
            outgoing.flush()
            if outgoing.is_empty and self._parcels.detach() and outgoing.error is None:
                raise OptionError("descriptors travel with a byte at least, and this message has none")
        except BaseException:
            self._parcels.detach()
            raise
        await sending
        outgoing.check()

    async def receive(self, receive: Callable[[], Awaitable[Any]]) -> tuple[Any, tuple[int, ...]]:
        """See `Connection.receive_descriptors`; `receive` gives the next message."""
        message = await receive()
        self._settle()
        return message, self._parcels.take(self._session.received_count - len(self._session.waiting) - 1)

    def _settle(self) -> None:
        """A read that brings descriptors ends with the piece that they were sent with (unix(7)): so they belong to the
        last message that has begun by then."""
        last = self._session.received_count - (0 if self._session.has_part else 1)
        for parcel in self._parcels.arrived:
            if parcel.number is None:
                parcel.number = last

    def close(self) -> None:
        """Close what nobody has taken."""
        self._parcels.close()
