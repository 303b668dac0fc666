"""One end of a WebSocket, without I/O: messages to frames, frames to messages, pings answered, the close handshake.

`WebSocketFraming` makes it a framing of the bytes of the stream, so that many small messages are one system call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from socketkit.errors import (
    BrokenError,
    EndOfStream,
    FrameTooLongError,
    FramingError,
    StreamError,
)
from socketkit.framing.adapter import adapt
from socketkit.framing.codec import ConnectionCodec, Framing
from socketkit.websocket.deflate import Deflate
from socketkit.websocket.frames import (
    BINARY,
    CLOSE,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    Masks,
    encode_close,
    encode_frame,
    parse_close,
)
from socketkit.websocket.messages import Decoder, new_decoder

__all__ = ["Protocol", "WebSocketFraming"]

Data: TypeAlias = str | bytes | bytearray | memoryview
"""A message."""

MAX_ANSWERS_SIZE: Final = 64 * 1024
"""Bytes of pongs that are unsent for a peer that does not read; further pings go without (RFC 6455, 5.5.3)."""

SMALL_SIZE: Final = 64
"""Bytes below which a message is not compressed: nothing would be gained."""

_NORMAL: Final = (1000, 1001, 1005)
"""Close codes of an orderly end: normal, going away (a page that is left, a server that stops), none given."""


class Protocol:
    """The state of one end.

    Args:
        peer: its address, for errors.
        is_server: clients mask.
        max_size: bytes of the largest message that is received.
        deflate: what compression was agreed on; None: none.

    Attributes:
        received_close: code and reason of the peer's close frame; None before it.
        sent_close: the same of ours.
        next_close: what our close frame says when our direction is ended; None: 1000, or the same as the peer's.
        write: appends bytes to what is sent.
        refuse: takes why no further message is sent.
        answers_size: bytes of pongs since the last time that everything was sent.
    """

    __slots__ = (
        "_deflate",
        "_masks",
        "answers_size",
        "decoder",
        "is_server",
        "max_size",
        "next_close",
        "peer",
        "received_close",
        "refuse",
        "sent_close",
        "write",
    )

    def __init__(self, peer: str, *, is_server: bool, max_size: int, deflate: Deflate | None = None) -> None:
        self.peer = peer
        self.is_server = is_server
        self.max_size = max_size
        self.decoder: Decoder = new_decoder(is_masked=is_server, max_size=max_size, deflate=deflate)
        self._deflate = deflate
        self._masks = None if is_server else Masks()
        self.received_close: tuple[int, str] | None = None
        self.sent_close: tuple[int, str] | None = None
        self.next_close: tuple[int, str] | None = None
        self.answers_size = 0
        self.write: Callable[[bytes], object] = _nowhere
        self.refuse: Callable[[StreamError], object] = _nowhere

    def detach(self) -> None:
        """Send nothing more, of a connection that has ended."""
        self.write = self.refuse = _nowhere

    @property
    def has_deflate(self) -> bool:
        """Whether compression was agreed on."""
        return self._deflate is not None

    # Incoming.

    def feed(self, data: bytes) -> list[str | bytes]:
        """Return the messages that are now whole; answer pings, and remember a close frame.

        An error is in `decoder.fault`: `fail` is due when the messages before it were received.
        """
        if self.received_close is not None:
            return []  # nothing counts behind a close frame (RFC 6455, 1.4)
        messages: list[str | bytes] = []
        decoder = self.decoder
        for kind, payload in decoder.feed(data):
            if kind in (TEXT, BINARY):
                messages.append(payload)
            elif kind == PING:
                self._answer(payload)
            elif kind == CLOSE:
                try:
                    self.received_close = parse_close(payload)
                except FramingError as error:
                    decoder.fault = error
        return messages

    def _answer(self, payload: bytes) -> None:
        if self.sent_close is None and self.answers_size < MAX_ANSWERS_SIZE:
            frame = encode_frame(FIN | PONG, payload, self._mask())
            self.answers_size += len(frame)
            self.write(frame)

    def fail(self, error: FramingError) -> None:
        """Tell the peer what it has done wrong, and send nothing more."""
        code = error.close_code or 1002
        if self.sent_close is None:
            self.write(self.close_frame(code, error.close_reason))
        self.refuse(_closed_for(self.peer, code, str(error)))

    def end(self) -> StreamError | None:
        """Return what the peer's close frame means to a receiver; None: there was none."""
        if self.received_close is None:
            return None
        code, reason = self.received_close
        said = f"{code} {reason}".rstrip()
        error: StreamError
        if code in _NORMAL:
            error = EndOfStream(f"{self.peer} has closed the WebSocket: {said}")
        else:
            error = BrokenError(f"{self.peer} has closed the WebSocket with an error: {said}")
        error.close_code, error.close_reason = code, reason
        return error

    def lost(self, text: str) -> BrokenError:
        """Return the error of an end without a close frame (1006)."""
        error = BrokenError(f"receiving from {self.peer}: {text}")
        error.close_code = 1006
        return error

    # Outgoing.

    def encode(self, message: Data) -> bytes:
        """Return the frame of a message.

        Raises:
            TypeError: it is neither text nor bytes.
        """
        first, data = self.payload(message)
        return encode_frame(first, data, self._mask())

    def payload(self, message: Data, *, is_shared: bool = False) -> tuple[int, bytes]:
        """Return the first byte of a message's frame, and its payload without a mask; raises as `encode`.

        Args:
            is_shared: whether it goes to other peers with this window too; then `encode_payload` makes the frame.
        """
        if type(message) is bytes:
            first, data = FIN | BINARY, message
        elif isinstance(message, str):
            first = FIN | TEXT
            try:
                data = message.encode()
            except UnicodeEncodeError as error:
                raise FramingError(f"WebSocket: a text is no Unicode: {error.reason}", framing="websocket") from None
        elif isinstance(message, (bytes, bytearray, memoryview)):
            first, data = FIN | BINARY, bytes(message)
        else:
            raise TypeError(f"a message of a WebSocket is str or bytes, not {type(message).__name__}")
        if self._deflate is not None and len(data) >= SMALL_SIZE:
            deflate = self._deflate
            first, data = first | RSV1, deflate.compress_alone(data) if is_shared else deflate.compress(data)
        return first, data

    def encode_payload(self, first: int, data: bytes) -> bytes:
        """Return the frame of a payload that goes to other peers too."""
        self.sent_shared(first)
        return encode_frame(first, data, self._mask())

    def sent_shared(self, first: int) -> None:
        """Note that a frame which begins so was, or is to be, sent, and that it was compressed without ours."""
        if first & RSV1 and self._deflate is not None:
            self._deflate.forget()

    @property
    def write_bits(self) -> int:
        """The window with which messages are compressed; 0: they are not."""
        return 0 if self._deflate is None else self._deflate.write_bits

    def ping_frame(self) -> bytes:
        """Return a ping."""
        return encode_frame(FIN | PING, b"", self._mask())

    def close_frame(self, code: int | None = None, reason: str = "") -> bytes:
        """Return our close frame; at most once.

        Args:
            code, reason: of an error; None: as `next_close` says, else the same as the peer's, else 1000.
        """
        if code is None:
            if self.next_close is not None:
                code, reason = self.next_close
            else:
                code, reason = self.received_close or (1000, "")  # as browsers and others echo it (RFC 6455, 5.5.1)
        self.sent_close = code, reason
        return encode_close(None if code == 1005 else code, reason, self._mask())

    def _mask(self) -> bytes | None:
        return None if self._masks is None else self._masks.next()


def _nowhere(item: object) -> None:
    """Take what nobody is there for."""


def _closed_for(peer: str, code: int, reason: str) -> BrokenError:
    error = BrokenError(f"sending to {peer}: we have closed the WebSocket with {code}: {reason}")
    error.close_code, error.close_reason = code, reason
    return error


class WebSocketFraming:
    """The framing of the bytes of one WebSocket.

    Args:
        protocol: of this connection.
        inner: frames each message by itself; None, or `chunks`: they are `str` and `bytes`.
    """

    def __init__(self, protocol: Protocol, inner: Framing | None) -> None:
        self._codec = WebSocketCodec(protocol, inner)

    def codec(self) -> WebSocketCodec:
        """Return the codec: the same one each time, as there is one state of the protocol."""
        return self._codec

    @property
    def native(self) -> tuple[Any, ...] | None:
        """Whole messages of one frame, where nothing else is under way; the rest is the codec's."""
        return self._codec.native


class WebSocketCodec(ConnectionCodec):
    """What a connection uses of the protocol.

    A peer's mistake behind messages is answered when they were received, so that their answers are sent before it.
    """

    __slots__ = (
        "_counts",
        "_inner",
        "_inner_codec",
        "_is_text",
        "_last",
        "_protocol",
        "_shared_key",
        "_strips",
        "offset",
    )

    def __init__(self, protocol: Protocol, inner: Framing | None) -> None:
        self._protocol = protocol
        self.offset = 0
        self._last: list[str | bytes] = []  # the messages of the last feed
        self._counts: list[int] = []  # how many messages the framing has made of each
        self.use(inner)

    def use(self, inner: Framing | None) -> None:
        """Frame each message in this way from now on."""
        name = getattr(inner, "name", "")
        self._inner = None if name == "chunks" else inner
        self._inner_codec = None if self._inner is None else adapt(self._inner.codec())
        encoding = getattr(inner, "encoding", "utf-8")
        self._is_text = name in _TEXT_FRAMINGS and str(encoding).lower().replace("_", "-") in ("utf-8", "utf8", "ascii")
        self._shared_key = _hashable(self._inner), self._protocol.write_bits  # who has the same sends the same
        # A line's end says nothing where the message has one: other programs do not expect it.
        self._strips = (b"\r\n" if getattr(inner, "crlf", False) else b"\n") if name in _LINES else b""

    # Outgoing.

    def encode(self, messages: Iterable[Any], /) -> bytes:
        return b"".join([self._framed(message) for message in messages])

    def encode_one(self, message: Any, /) -> bytes:
        return self._framed(message)

    def _framed(self, message: Any) -> bytes:
        return self._protocol.encode(self._raw(message))

    def _raw(self, message: Any) -> Any:
        """Return what the framing makes of a message."""
        if self._inner_codec is None:
            return message
        data = self._inner_codec.encode((message,)).removesuffix(self._strips)
        return data.decode() if self._is_text else data

    def encode_shared(self, message: Any, known: dict[Any, Any]) -> bytes:
        """Return the frame of a message that goes to many: framed and compressed once for those who do it alike.

        A client's frames have a mask of their own each.

        Args:
            message: of the framing's type.
            known: what was encoded already; grows.
        """
        protocol = self._protocol
        frame: bytes | None = known.get(self._shared_key) if protocol.is_server else None
        if frame is not None:
            protocol.sent_shared(frame[0])
            return frame
        key = "payload", self._shared_key
        payload = known.get(key)
        if payload is None:
            payload = known[key] = protocol.payload(self._raw(message), is_shared=True)
        made = protocol.encode_payload(*payload)
        if protocol.is_server:
            known[self._shared_key] = made
        return made

    # Incoming.

    @property
    def native(self) -> tuple[Any, ...] | None:
        """Whole messages of one frame, where nothing else is under way; the rest comes to this codec."""
        protocol = self._protocol
        if not self.resumes_native or protocol.received_close is not None or protocol.decoder.is_open:
            return None
        return "websocket", protocol.max_size, protocol.is_server

    @property
    def resumes_native(self) -> bool:
        return self._inner is None and not self._protocol.has_deflate

    @property
    def fault(self) -> FramingError | None:
        return self._protocol.decoder.fault

    @property
    def buffered(self) -> int:
        return self._protocol.decoder.buffered

    def feed(self, data: bytes, /) -> list[Any]:
        self.offset += len(data)
        raws = self._protocol.feed(data)
        messages: list[Any] = raws
        if self._inner is None:
            self._last = raws
        else:
            messages = self._unframed(raws)
        if not messages:
            self.probe()
            if self.fault is not None:
                raise self.fault
        return messages

    must_probe = True

    def probe(self) -> None:
        if self.fault is not None:
            self._protocol.fail(self.fault)

    def _unframed(self, raws: list[str | bytes]) -> list[Any]:
        messages: list[Any] = []
        self._last, self._counts = raws, []
        for raw in raws:
            try:
                made = self._parsed(raw)
            except FramingError as error:
                if error.close_code is None:
                    error.close_code, error.close_reason = 1007, f"a message does not follow the framing: {error}"
                self._protocol.decoder.fault = error
                break
            self._counts.append(len(made))
            messages += made
        return messages

    def _parsed(self, raw: str | bytes) -> list[Any]:
        """Return the messages of one message: each is framed by itself."""
        inner = self._inner
        if inner is None:
            return [raw]
        data = raw.encode() if isinstance(raw, str) else raw
        if self._strips and not data.endswith(b"\n"):
            data += b"\n"
        codec = adapt(inner.codec())
        if codec.feed_whole is not None:
            return codec.feed_whole(data)
        return codec.feed(data) + codec.feed_eof()

    def feed_eof(self) -> list[Any]:
        return []

    def release(self) -> None:
        self._last = []

    def take_faults(self) -> list[FrameTooLongError]:
        return []

    def take_rest(self, unread: int = 0, /) -> bytes:
        if unread or self._protocol.decoder.is_open:
            raise TypeError("a WebSocket gives no bytes back: they are frames, and part of a conversation")
        return self._protocol.decoder.take_held()

    def retake(self, inner: Framing, unread: int) -> list[Any]:
        """Frame messages in this way from now on; return the last `unread` ones so, oldest first."""
        counts = [1] * len(self._last) if self._inner is None else self._counts
        start = len(counts)
        while unread > 0 and start:
            start -= 1
            unread -= counts[start]
        raws = self._last[start : len(counts)]
        self.use(inner)
        if self._inner is not None:
            return self._unframed(raws)
        self._last = raws
        return raws


def _hashable(inner: Framing | None) -> Any:
    try:
        hash(inner)
    except TypeError:
        return id(inner)  # a framing of the user's own
    return inner


_LINES: Final = ("lines", "json")
_TEXT_FRAMINGS: Final = ("lines", "json", "json-stream")
