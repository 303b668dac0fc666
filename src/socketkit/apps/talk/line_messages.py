"""What a person's bytes mean to a connection: bytes as they come, or a line a message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from socketkit import framing as framings
from socketkit.errors import FrameTooLongError, FramingError
from socketkit.framing.codec import DEFAULT_MAX_SIZE, Codec, Framing
from socketkit.framing.spec import FramingSpec

__all__ = ["MessageFormat", "message_format"]


class MessageFormat(Protocol):
    """From bytes that a person gives to messages that a connection takes, and back. Made anew for each conversation.

    Attributes:
        carries_chunks: whether a message is a piece of a stream, which may be divided.
    """

    carries_chunks: bool

    def to_messages(self, data: bytes) -> list[Any]:
        """The messages that are whole with these bytes.

        Raises:
            FramingError: the bytes are none.
        """

    def last_messages(self) -> list[Any]:
        """The message that the end makes whole, if there is one; raises as before."""

    def to_bytes(self, messages: Iterable[Any]) -> bytes:
        """What is shown of these messages.

        Raises:
            FramingError: a message cannot be shown as a line.
        """


def message_format(framing: str | None, *, is_websocket: bool = False) -> MessageFormat:
    """How a person speaks over a connection with this framing.

    Without one, or with `chunks`: bytes, as they come. Else a line of the person is a message, and a message a line: as
    it is where it is bytes or text, as JSON where it is a value. Over a WebSocket a line of the person is a text, or
    a binary message where it is no UTF-8.

    Raises:
        OptionError: no such framing.
    """
    described = framings.parse("chunks" if framing is None else framing)
    if is_websocket and isinstance(described, framings.Chunks):
        return _WebSocketLines(framings.Lines(encoding=None), described)
    if isinstance(described, framings.Chunks):
        return _Bytes()
    most = getattr(described, "max_size", DEFAULT_MAX_SIZE)
    if isinstance(described, framings.Lines):
        return _Lines(framings.Lines(encoding=described.encoding, max_size=most), described)
    if isinstance(described, (framings.Json, framings.JsonStream, framings.Msgpack)):
        return _Lines(framings.Json(max_size=most), described)
    return _RawLines(framings.Lines(encoding=None, max_size=most), described)


class _Bytes:
    carries_chunks = True

    def to_messages(self, data: bytes) -> list[Any]:
        return [data]

    def last_messages(self) -> list[Any]:
        return []

    def to_bytes(self, messages: Iterable[Any]) -> bytes:
        return b"".join(messages)


class _Lines:
    """Lines whose messages are those of the connection.

    Args:
        framing: of the lines.
        spoken: of the connection. Errors of a line name it: the other one was never asked for.
    """

    carries_chunks = False

    def __init__(self, framing: FramingSpec, spoken: Framing) -> None:
        self._codec: Codec = framing.codec()
        self._name = str(framing)
        self._spoken = spoken

    def to_messages(self, data: bytes) -> list[Any]:
        try:
            return list(self._codec.feed(data))
        except FramingError as error:
            raise self._of_the_input(error) from None

    def last_messages(self) -> list[Any]:
        try:
            return list(self._codec.feed_eof())
        except FramingError as error:
            raise self._of_the_input(error) from None

    def _of_the_input(self, error: FramingError) -> FramingError:
        spoken, text = str(self._spoken), str(error)
        if not isinstance(error, FrameTooLongError):
            return FramingError(f"the input for {spoken}: {text.removeprefix(f'{error.framing}: ')}", framing=spoken)
        least = "at least " if "at least " in text else ""
        hint = "" if isinstance(self._spoken, framings.Fixed) else "; allow it with max_size="
        return FrameTooLongError(
            f"the input for {spoken}: a line of {least}{error.size} bytes at offset {error.offset} is longer than a "
            f"message, which has {error.max_size}{hint}",
            framing=spoken,
            offset=error.offset,
            size=error.size,
            max_size=error.max_size,
        )

    def to_bytes(self, messages: Iterable[Any]) -> bytes:
        try:
            return self._codec.encode(list(messages))
        except TypeError as error:  # MessagePack has bytes and dates, JSON has not
            raise FramingError(f"a message cannot be shown: {error}", framing=self._name) from None


class _RawLines(_Lines):
    """Lines of bytes; a message may hold a line feed itself, and is shown with it."""

    def to_bytes(self, messages: Iterable[Any]) -> bytes:
        return b"".join([message + b"\n" for message in messages])


class _WebSocketLines(_RawLines):
    """Lines, each a message of a WebSocket."""

    def to_messages(self, data: bytes) -> list[Any]:
        return list(map(_text_or_bytes, super().to_messages(data)))

    def last_messages(self) -> list[Any]:
        return list(map(_text_or_bytes, super().last_messages()))

    def to_bytes(self, messages: Iterable[Any]) -> bytes:
        return super().to_bytes(message.encode() if isinstance(message, str) else message for message in messages)


def _text_or_bytes(line: bytes) -> str | bytes:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line
