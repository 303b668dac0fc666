r"""`lines`: text, a line a message.

A line ends with `\n` or `\r\n`; a `\r` anywhere else, also at the end of the stream, is part of the line. We send `\n`,
or `\r\n` when asked. The last line of a stream needs no end. The end counts nothing toward `max_size`. Bytes are
searched and split before or after they are decoded, never in between: a character that a packet cuts in two is whole
again before it is decoded.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

from socketkit._core import encode_lines
from socketkit.config.option_types import SWITCH, OptionType
from socketkit.config.quoting import quote
from socketkit.errors import FramingError, OptionError
from socketkit.framing.codec import Codec, M, native_description
from socketkit.framing.decoder import as_bytes_list, check_sizes, wrong_type
from socketkit.framing.delimiter_decoder import DelimiterCodec
from socketkit.framing.spec import FramingSpec, Oversize, Size, max_size, option, oversize

__all__ = ["Lines"]


_PROBE = bytes(set(range(128)) - {0x5C}) + rb"\\\u000a"
"""ASCII; its escapes are ones that Python's own encodings would change."""

_BY_THE_BLOCK = frozenset({"utf-8", "ascii", "latin-1"})
"""Encodings without a state: decoding many lines at once is decoding each."""


def _read_encoding(value: object, *, name: str = "") -> str:
    allowed = "allowed are utf-8, latin-1, any other that extends ASCII"
    if not isinstance(value, str):
        raise OptionError(f"{name}={quote(value)}; {allowed}")
    try:
        canonical = codecs.lookup(value).name
        extends_ascii = _PROBE.decode(value).encode("ascii") == _PROBE == _PROBE.decode("ascii").encode(value)
    except UnicodeError:
        extends_ascii = False
    except (LookupError, ValueError):
        raise OptionError(f"{name}={quote(value)} is no encoding of text; {allowed}") from None
    if not extends_ascii:
        raise OptionError(f"{name}={quote(value)} does not extend ASCII: the end of a line is not its own; {allowed}")
    return "latin-1" if canonical == "iso8859-1" else canonical


class Lines(FramingSpec[M]):
    r"""Text, a line a message: `\n` or `\r\n` ends it, `\n` is sent. Messages are `str`; without encoding `bytes`."""

    name = "lines"
    title = "text, a line a message"

    crlf: bool = option(SWITCH, r"Send \r\n instead of \n; both are accepted anyway.", default=False)
    encoding: str | None = option(
        OptionType("encoding", _read_encoding, str, optional=True),
        "How text lies in the bytes; utf-8 as is usual, none: messages are bytes.",
        default="utf-8",
    )
    max_size: Size = max_size()
    oversize: Oversize = oversize("fail", "skip", "truncate")

    if TYPE_CHECKING:

        @overload
        def __init__(
            self: Lines[bytes],
            crlf: bool = ...,
            *,
            encoding: Literal["none"] | None,
            max_size: int | str = ...,
            oversize: Oversize = ...,
        ) -> None: ...
        @overload
        def __init__(
            self: Lines[str],
            crlf: bool = ...,
            encoding: str = ...,
            max_size: int | str = ...,
            oversize: Oversize = ...,
        ) -> None: ...
        def __init__(self, *args: Any, **options: Any) -> None: ...

    def codec(self) -> Codec[M]:
        """Return a fresh codec for one connection."""
        if self.encoding is None:
            return _BytesLinesCodec(self)
        return _LinesCodec(self) if self.encoding in _BY_THE_BLOCK else _OneByOneCodec(self)

    @property
    def native(self) -> tuple[Any, ...] | None:
        if self.oversize != "fail" or self.encoding not in (None, *_BY_THE_BLOCK):
            return None
        return ("lines", self.max_size, self.encoding, b"\r\n" if self.crlf else b"\n")


class _LinesCodec(DelimiterCodec):
    """Lines of `str`, decoded by the block."""

    __slots__ = ("_description", "_encoding", "_end")

    _framing: Lines

    def __init__(self, framing: Lines) -> None:
        super().__init__(framing, b"\n", max_frame_size=framing.max_size + 1)  # with the \r that belongs to the end
        self._end = "\r\n" if framing.crlf else "\n"
        self._encoding = framing.encoding or ""
        self._description = native_description(framing)

    def _read(self, block: bytes) -> list[Any]:
        text = block.decode(self._encoding)
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        lines = text.split("\n")
        del lines[-1]
        return lines

    def _read_last(self, frame: bytes) -> list[Any]:
        try:
            return [frame.decode(self._encoding)]
        except UnicodeDecodeError:
            codecs.getincrementaldecoder(self._encoding)().decode(frame)  # raises unless it is but cut
            self._fail_truncated(frame, "and the last character is not whole")

    def _truncated(self, frame: bytes) -> Any:
        # Final is false: a character cut in two at the limit is left out.
        return codecs.getincrementaldecoder(self._encoding)().decode(frame[: self._max_size])

    def _payload_size(self, frame: bytes | bytearray) -> int:
        return len(frame) - frame.endswith(b"\r")

    def _is_too_long(self, tail: bytes | bytearray) -> bool:
        return len(tail) - tail.endswith(b"\r") > self._max_size

    def _problem(self, error: ValueError) -> str:
        if not isinstance(error, UnicodeDecodeError):
            return str(error)
        byte = error.object[error.start]
        return (
            f"byte {byte:#04x} at position {error.start} is not {self._encoding} ({error.reason}; "
            f"allow it with encoding=latin-1, or encoding=none) in the line"
        )

    def encode(self, messages: Iterable[Any], /) -> bytes:
        if type(messages) is not tuple and type(messages) is not list:
            messages = list(messages)
        if self._description is not None and (encoded := encode_lines(self._description, messages)) is not None:
            return encoded
        if not messages:
            return b""
        try:
            # Joined without ends, any end in it is inside a line: cheaper than to count ends, or to ask each line. It
            # is let go before the next join, which then takes its place in memory and costs half.
            if "\n" in "".join(messages):
                raise self._refused(messages)
            text = self._end.join(messages)
            text += self._end
            data = self._to_bytes(text)
            if b"\r" in data and self._end == "\n" and "\r\n" in text:
                raise self._refused(messages)
        except TypeError as error:
            raise TypeError(f"{self._text} sends str: {error}; use encoding=none for bytes") from None
        except UnicodeEncodeError:
            raise self._refused(messages) from None
        if len(data) > self._max_size:
            check_sizes(self._framing, messages, lambda line: len(line.encode(self._encoding)))
        return data

    def encode_one(self, message: Any, /) -> bytes:
        # A third of the price of `encode`, for what nearly every line is.
        if type(message) is str and "\n" not in message and "\r" not in message:
            try:
                data = (message + self._end).encode(self._encoding)
            except UnicodeEncodeError:
                return self.encode((message,))  # which says where
            if len(data) <= self._max_size:
                return data
        return self.encode((message,))

    def _to_bytes(self, text: str) -> bytes:
        """The bytes of lines with their ends."""
        return text.encode(self._encoding)

    def _refused(self, messages: Iterable[str]) -> FramingError:
        """The error for the first line that cannot be sent."""
        refusals = ((index, self._refusal(line)) for index, line in enumerate(messages))
        index, problem = next((index, problem) for index, problem in refusals if problem)
        return FramingError(f"{self._text}: message {index} {problem}; nothing was encoded", framing=self._text)

    def _refusal(self, line: str) -> str:
        if "\n" in line:
            return r"contains the end of a line, '\n'; split it, or use a framing that counts bytes (netstring, length)"
        if line.endswith("\r") and self._end == "\n":
            return r"ends with '\r', which the peer would drop; use crlf, or a framing that counts bytes"
        try:
            line.encode(self._encoding or "latin-1")
        except UnicodeEncodeError as error:
            character = ascii(error.object[error.start])
            return f"has the character {character} at position {error.start}, which {self._encoding} does not have"
        return ""


class _OneByOneCodec(_LinesCodec):
    """Lines of `str` in an encoding that may have a state: each begins anew."""

    __slots__ = ()

    def _read(self, block: bytes) -> list[Any]:
        lines = block.replace(b"\r\n", b"\n").split(b"\n")
        del lines[-1]
        return [line.decode(self._encoding) for line in lines]

    def encode_one(self, message: Any, /) -> bytes:
        return self.encode((message,))

    def _to_bytes(self, text: str) -> bytes:
        lines = text.split("\n")
        return b"\n".join([line.encode(self._encoding) for line in lines])


class _BytesLinesCodec(_LinesCodec):
    """Lines of `bytes`."""

    __slots__ = ("_end_bytes",)

    def __init__(self, framing: Lines) -> None:
        super().__init__(framing)
        self._end_bytes = self._end.encode()

    def _read(self, block: bytes) -> list[Any]:
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        lines = block.split(b"\n")
        del lines[-1]
        return lines

    def _read_last(self, frame: bytes) -> list[Any]:
        return [frame]

    def _truncated(self, frame: bytes) -> Any:
        return frame[: self._max_size]

    def encode_one(self, message: Any, /) -> bytes:
        if type(message) is bytes and b"\n" not in message and b"\r" not in message and len(message) <= self._max_size:
            return message + self._end_bytes
        return self.encode((message,))

    def encode(self, messages: Iterable[Any], /) -> bytes:
        if type(messages) is not tuple and type(messages) is not list:
            messages = list(messages)
        if self._description is not None and (encoded := encode_lines(self._description, messages)) is not None:
            return encoded
        if not messages:
            return b""
        end = self._end_bytes
        try:
            is_bad = b"\n" in b"".join(messages)
            data = end.join(messages) + end
        except TypeError as error:
            raise wrong_type(self._text, error) from None
        if is_bad or (b"\r" in data and end == b"\n" and b"\r\n" in data):
            raise self._refused([line.decode("latin-1") for line in as_bytes_list(messages, self._text)])
        if len(data) > self._max_size:
            check_sizes(self._framing, as_bytes_list(messages, self._text))
        return data
