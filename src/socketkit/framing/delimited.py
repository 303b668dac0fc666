r"""`delimited`: bytes up to a delimiter of your choice, as `find -print0` and many device protocols send them.

The delimiter may be longer than a byte; it is found from the left, without overlap. It counts nothing toward
`max_size`. The last message of a stream needs no delimiter. Two delimiters in a row have an empty message between them.

Of several delimiters each ends a message: the one that begins first, and of those the longest (`delimiter_set`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from socketkit.config.option_types import OptionType
from socketkit.config.quoting import quote
from socketkit.errors import FramingError, OptionError
from socketkit.framing.codec import Codec
from socketkit.framing.decoder import as_bytes_list, check_sizes
from socketkit.framing.delimiter_decoder import DelimiterCodec
from socketkit.framing.delimiter_set import DelimiterSetCodec, check_set
from socketkit.framing.escapes import read_escaped, write_escaped
from socketkit.framing.spec import Converted, FramingSpec, Oversize, Size, max_size, option, oversize

__all__ = ["Delimited"]


def _read_delimiters(value: object, *, name: str = "") -> bytes | tuple[bytes, ...]:
    """The delimiter, or those of a sequence.

    Raises:
        OptionError: what is no delimiter, or delimiters that cannot be told apart.
    """
    if not isinstance(value, (tuple, list)) or not value:
        return read_escaped(value, name=name)
    delimiters = tuple(read_escaped(one, name=name) for one in value)
    check_set(delimiters, name=name)
    return delimiters if len(delimiters) > 1 else delimiters[0]


_OPTION_WORDS = frozenset({"max_size", "max-size", "oversize", "fail", "skip", "truncate"})
"""What is meant as an option where it stands behind the first delimiter."""


class Delimited(FramingSpec[bytes]):
    r"""Bytes up to a delimiter. `Delimited(b"\0")`; text is read with its escapes: `Delimited(r"\r\n")`.

    `Delimited((b"\r\n", b"\n"))` ends a message with any of these, and sends the first: `delimited:\r\n,\n` as text.
    """

    name = "delimited"
    title = "bytes up to a delimiter"
    repeatable = "delimiter"

    delimiter: Converted[bytes | tuple[bytes, ...], bytes | str | Sequence[bytes | str]] = option(
        OptionType("delimiter, ...", _read_delimiters, write_escaped),
        r"What ends a message: characters, \0 \n \r \t \\ \xNN; of several each does, and the first is sent.",
    )
    max_size: Size = max_size()
    oversize: Oversize = oversize("fail", "skip", "truncate")

    @property
    def delimiters(self) -> tuple[bytes, ...]:
        """All delimiters, also where there is one only."""
        return self.delimiter if isinstance(self.delimiter, tuple) else (self.delimiter,)

    def codec(self) -> Codec[bytes]:
        """Return a fresh codec for one connection."""
        if isinstance(self.delimiter, tuple):
            return DelimiterSetCodec(self, self.delimiter)
        return DelimitedCodec(self) if len(self.delimiter) == 1 else _LongDelimiterCodec(self)

    @property
    def native(self) -> tuple[Any, ...] | None:
        if self.oversize != "fail" or isinstance(self.delimiter, tuple):
            return None
        return ("delimited", self.max_size, self.delimiter)

    def _arguments(self) -> list[str]:
        written = [write_escaped(delimiter) for delimiter in self.delimiters]
        behind = [f"delimiter={text}" if text in _OPTION_WORDS else text for text in written[1:]]
        return [written[0], *behind, *self._keyed(["max_size", "oversize"])]

    @classmethod
    def read(cls, arguments: str | None) -> Delimited:
        """The framing that `arguments`, the text after the name, mean; each one without a key is a delimiter.

        Raises:
            OptionError: as for every framing, and for delimiters that cannot be told apart.
        """
        for part in [] if arguments is None else arguments.split(",")[1:]:
            if part in _OPTION_WORDS:
                raise OptionError(
                    f"{cls.name}: {quote(part)} behind the delimiter; {cls._allowed()}; a delimiter of these letters "
                    f"is written delimiter={part}"
                )
        return super().read(arguments)

    @classmethod
    def _read_bare(cls, argument: str) -> Mapping[str, object]:
        return {"delimiter": argument}


class DelimitedCodec(DelimiterCodec):
    """Ends with a single byte."""

    __slots__ = ()

    _framing: Delimited

    def __init__(self, framing: Delimited) -> None:
        super().__init__(framing, framing.delimiters[0])

    def _read(self, block: bytes) -> list[Any]:
        messages = block.split(self._delimiter)
        del messages[-1]
        return messages

    def _read_last(self, frame: bytes) -> list[Any]:
        return [frame]

    def _truncated(self, frame: bytes) -> Any:
        return frame[: self._max_size]

    def encode(self, messages: Iterable[Any], /) -> bytes:
        payloads = as_bytes_list(messages, self._text)
        if not payloads:
            return b""
        delimiter = self._delimiter
        data = delimiter.join(payloads) + delimiter
        # A delimiter may also arise where a payload meets the one behind it: what the peer will split is what counts.
        if len(delimiter) > 1 or delimiter in b"".join(payloads):
            self._check_delimiter(payloads)
        if len(data) > self._max_size:
            check_sizes(self._framing, payloads)
        return data

    def _check_delimiter(self, payloads: list[bytes]) -> None:
        for index, payload in enumerate(payloads):
            if (payload + self._delimiter).find(self._delimiter) != len(payload):
                raise FramingError(
                    f"{self._text}: message {index} contains the delimiter {quote(self._delimiter)}, or the beginning "
                    "of one at its end; nothing was encoded; use a framing that counts bytes (netstring, length)",
                    framing=self._text,
                )


class _LongDelimiterCodec(DelimitedCodec):
    """Ends with several bytes, which the cut between two feeds may part, and which may overlap with themselves."""

    __slots__ = ("_overlaps",)

    def __init__(self, framing: Delimited) -> None:
        super().__init__(framing)
        delimiter = self._delimiter
        self._overlaps = any(delimiter.startswith(delimiter[size:]) for size in range(1, len(delimiter)))

    def feed(self, data: bytes, /) -> list[Any]:
        if type(data) is not bytes:
            data = bytes(data)  # a view of a buffer that its owner will use again
        if self._unusual:
            data = self._resume(data)
        end = self._end_of_last(data)
        return self._feed_whole(data, end) if end else self._feed_part(data)

    def _end_of_last(self, data: bytes) -> int:
        """Where the last whole frame that ends within this data ends; 0 when none does."""
        delimiter = self._delimiter
        seam = bytes(self._tail[1 - len(delimiter) :])
        found = (seam + data).rfind(delimiter)
        if found < 0:
            return 0
        if not self._overlaps:
            return found + len(delimiter) - len(seam)
        # What was found may overlap the last delimiter, as in b"aaa" for b"aa": only a split from the left decides.
        return len(data) - len((bytes(self._tail) + data).split(delimiter)[-1])

    def _is_too_long(self, tail: bytes | bytearray) -> bool:
        delimiter = self._delimiter
        begun = max(size for size in range(len(delimiter)) if tail.endswith(delimiter[:size]))
        return len(tail) - begun > self._max_size
