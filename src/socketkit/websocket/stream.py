"""WebSocket as a stream over a stream: the bytes are frames, and their end is a close handshake.

Pings are sent while a receiver waits, as an idle time is measured: only a peer that we wait for can be late. An end
without a close frame is a loss (1006), as with TLS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from socketkit._core import StreamCore
from socketkit.config.schemes import websocket_name
from socketkit.config.websocket_settings import Request
from socketkit.errors import BrokenError, ClosedError, DeadlineError, EndOfStream, StreamError, end_of_stream
from socketkit.events import TlsFacts
from socketkit.framing.codec import Framing
from socketkit.streams.stream import MessageStream, Stream
from socketkit.websocket.frames import check_close
from socketkit.websocket.keepalive import Keepalive
from socketkit.websocket.protocol import Protocol, WebSocketCodec, WebSocketFraming

if TYPE_CHECKING:
    import socket

    Socket = socket.socket

__all__ = ["WebSocketStream"]

SERVER_CLOSE_TIMEOUT: Final = 1.0
"""Seconds that a client waits for the server to end TCP first (RFC 6455, 7.1.1), so that the server has TIME-WAIT."""


class WebSocketStream(MessageStream):
    """Frames over another stream, after the handshake.

    Args:
        inner: moves the bytes; this stream owns it.
        protocol: this end's state.
        request: what it was opened with.
        early: bytes that came together with the handshake.
        ping_interval, ping_timeout: seconds; None: no pings, no limit.
        handshake_seconds: how long the handshake took.
    """

    __slots__ = (
        "__weakref__",
        "_awaited",
        "_codec",
        "_cut",
        "_early",
        "_inner",
        "_is_cut",
        "_is_stopped",
        "_keepalive",
        "_lost",
        "_ping_interval",
        "_ping_timeout",
        "_pinged",
        "_waited",
        "engine",
        "handshake_seconds",
        "local",
        "peer",
        "protocol",
        "request",
    )

    def __init__(
        self,
        inner: Stream,
        protocol: Protocol,
        request: Request,
        *,
        early: bytes = b"",
        ping_interval: float | None = None,
        ping_timeout: float | None = None,
        handshake_seconds: float = 0.0,
    ) -> None:
        self.engine = inner.engine
        self.local = spoken_name(inner.local)
        self.peer = spoken_name(inner.peer)
        self.protocol = protocol
        self.request = request
        self.handshake_seconds = handshake_seconds
        self._inner = inner
        self._early = early
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._pinged = False
        self._waited = 0.0  # seconds of waiting since the last byte, or since the ping
        self._is_stopped = False
        self._codec: WebSocketCodec | None = None
        self._awaited: Callable[[], int | None] = _nothing_awaited
        self._keepalive: Keepalive | None = None
        self._lost: BrokenError | None = None  # the peer is silent
        self._is_cut = False  # no frame can follow what was sent
        self._cut: Callable[[StreamError], object] = _nowhere

    # Facts.

    @property
    def socket(self) -> Socket | None:
        return self._inner.socket

    @property
    def tls(self) -> TlsFacts | None:
        return self._inner.tls

    @property
    def exit_status(self) -> int | None:
        return self._inner.exit_status

    @property
    def has_unsent(self) -> bool:
        return self._inner.has_unsent

    @property
    def plain(self) -> StreamCore | None:
        return self._inner.plain  # where an engine has no timers for pings, nothing but `receive` receives

    @property
    def awaited_size(self) -> int | None:
        """Bytes that the connection has received; None: no task waits for more."""
        return self._awaited()

    @property
    def has_compression(self) -> bool:  # type: ignore[override]
        return self.protocol.has_deflate

    @property
    def close_code(self) -> int | None:  # type: ignore[override]
        close = self.protocol.received_close or self.protocol.sent_close
        return None if close is None else close[0]

    @property
    def close_reason(self) -> str:  # type: ignore[override]
        close = self.protocol.received_close or self.protocol.sent_close
        return "" if close is None else close[1]

    # Of a connection.

    def attach(
        self,
        write: Callable[[bytes], object],
        refuse: Callable[[StreamError], object],
        cut: Callable[[StreamError], object],
        awaited: Callable[[], int | None],
    ) -> None:
        self.protocol.write, self.protocol.refuse, self._awaited = write, refuse, awaited
        self._cut = cut
        if self._ping_interval is not None:
            keepalive = Keepalive(self, self._ping_interval, self._ping_timeout)
            self._keepalive = keepalive if keepalive.is_active else None
        if self._early and (plain := self.plain) is not None:
            plain.may_have_more = True  # so that the compiled core asks here first

    def framed(self, framing: Framing) -> Framing:
        made = WebSocketFraming(self.protocol, framing)
        self._codec = made.codec()
        return made

    def reframe(self, framing: Framing, unread_count: int, /) -> list[Any]:
        assert self._codec is not None
        return self._codec.retake(framing, unread_count)

    def encode_shared(self, message: Any, known: dict[Any, Any]) -> bytes:
        assert self._codec is not None
        return self._codec.encode_shared(message, known)

    @property
    def silence_limit(self) -> float | None:  # type: ignore[override]
        interval, timeout = self._ping_interval, self._ping_timeout
        return None if interval is None or timeout is None else interval + timeout

    def set_close(self, code: int, reason: str = "") -> None:
        self.protocol.next_close = code, reason

    def choose_close(self, code: int, reason: str) -> None:
        check_close(code, reason)
        self.set_close(code, reason)

    # Receiving.

    async def receive(self, *, deadline: float | None = None) -> bytes:
        if self._early:
            data, self._early = self._early, b""
            return data
        if (end := self.protocol.end()) is not None:
            raise end
        try:
            if self._keepalive is not None:
                return await self._inner.receive(deadline=deadline)
            return await self._receive(deadline)
        except EndOfStream:
            if self._lost is not None:
                raise self._lost.with_traceback(None) from None
            if self._is_stopped:
                raise end_of_stream(self.peer) from None
            raise self.protocol.lost("it has ended without a close frame (1006)") from None
        except BrokenError as error:
            error.close_code = error.close_code or 1006
            raise

    async def _receive(self, deadline: float | None) -> bytes:
        engine = self.engine
        while True:
            limit = self._ping_timeout if self._pinged else self._ping_interval
            began = engine.now()
            last = None if limit is None else max(began, began + limit - self._waited)
            if deadline is not None and (last is None or deadline < last):
                last = deadline
            try:
                data = await self._inner.receive(deadline=last)
            except BaseException as error:
                now = engine.now()
                self._waited += now - began
                if not isinstance(error, DeadlineError) or (deadline is not None and now >= deadline):
                    raise
                if limit is not None and self._waited >= limit:
                    self._waited = 0.0
                    if self._pinged:
                        self.lose_silent(limit)
                        assert self._lost is not None
                        raise self._lost from None
                    self._pinged = self.ping()
            else:
                self._waited, self._pinged = 0.0, False
                return data

    def ping(self) -> bool:
        """Send a ping; False: not behind our close frame."""
        if self.protocol.sent_close is not None:
            return False
        self.protocol.write(self.protocol.ping_frame())
        return True

    def lose_silent(self, limit: float) -> None:
        """End both directions of a peer that was silent for so many seconds after a ping: the receiver gets the error,
        and senders that wait do."""
        text = f"it has sent nothing for {limit:g} s after a ping (ping_timeout): it counts as lost"
        self._lost = self.protocol.lost(text)
        self._inner.stop_receiving()
        self._cut(self._lost)

    def stop_receiving(self) -> None:
        self._is_stopped = True
        self._inner.stop_receiving()

    # Sending.

    def send_now(self, data: bytes | memoryview) -> int:
        count = self._inner.send_now(data)
        if count == len(data):
            self.protocol.answers_size = 0
        return count

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        await self._inner.wait_writable(deadline=deadline)

    async def send_eof(self, *, deadline: float | None = None) -> None:
        if self.protocol.sent_close is None:
            await self._inner.send(self.protocol.close_frame(), deadline=deadline)

    # Closing.

    async def finish(self, *, deadline: float | None = None) -> None:
        """As promised: after the close handshake, where nobody receives. A lost peer gets a reset at once."""
        self._stop_pings()
        if self._lost is not None or self._is_cut:
            self._inner.abort()
            return
        try:
            await self.send_eof(deadline=deadline)
            if self._awaited() is None:
                await self._wait_close(deadline)
        except (StreamError, DeadlineError):
            pass  # the peer is gone, or does not answer: what counts was sent
        except BaseException:
            self.abort()
            raise
        await self._inner.finish(deadline=deadline)

    async def _wait_close(self, deadline: float | None) -> None:
        """Drop what comes before the peer's close frame; then a client waits for the end of the connection.

        After a mistake of the peer its bytes mean nothing: we end our direction, and drop them up to its end. To close
        at once would answer what is under way with a reset, which takes our close frame back (RFC 1122, 4.2.2.13).
        """
        protocol = self.protocol
        data, self._early = self._early, b""
        if data:
            protocol.feed(data)
        while protocol.received_close is None and protocol.decoder.fault is None:
            protocol.feed(await self._inner.receive(deadline=deadline))
        if protocol.received_close is None:
            await self._inner.send_eof(deadline=deadline)
            while True:
                await self._inner.receive(deadline=deadline)
        if not protocol.is_server:
            last = self.engine.now() + SERVER_CLOSE_TIMEOUT
            while True:
                await self._inner.receive(deadline=last if deadline is None else min(last, deadline))

    def set_cut(self) -> None:
        self._is_cut = True

    def _stop_pings(self) -> None:
        if self._keepalive is not None:
            self._keepalive.stop()

    def close(self) -> None:
        self._stop_pings()
        self._say_close()
        self._inner.close()

    def abort(self) -> None:
        self._stop_pings()
        if self.protocol.next_close is not None and self._say_close():
            self._inner.close()  # a reset would take the reason back
        else:
            self._inner.abort()

    def forget(self) -> None:
        self.protocol.detach()
        self._awaited, self._cut, self._keepalive, self._codec = _nothing_awaited, _nowhere, None, None
        self._inner.forget()

    def _say_close(self) -> bool:
        """Send our close frame, if that is possible without a wait."""
        if self.protocol.sent_close is not None or self._lost is not None or self._is_cut:
            return False
        try:
            frame = self.protocol.close_frame()
            return self._inner.send_now(frame) == len(frame)
        except (StreamError, ClosedError):
            return False

    def __repr__(self) -> str:
        state = "open" if self.close_code is None else f"closed with {self.close_code}"
        return f"<WebSocketStream {self.local} - {self.peer}, {state}>"


def _nowhere(error: StreamError) -> None:
    """Nothing was sent."""


def _nothing_awaited() -> int | None:
    return None


def spoken_name(address: str) -> str:
    """The name of an address at which WebSocket is spoken."""
    scheme, colon, rest = address.partition(":")
    return f"{websocket_name(scheme)}{colon}{rest}"
