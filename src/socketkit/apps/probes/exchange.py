"""Ready when a message is answered: what `--send` and `--expect` ask, over streams and datagrams."""

from __future__ import annotations

import re
from typing import Final

from socketkit.apps.probes.probe import Look, Probe, reason_of_failure
from socketkit.apps.talk.byte_formats import Escaped, FromHex
from socketkit.config.address import Address
from socketkit.errors import DeadlineError, EndOfStream, FramingError, OpenError, OptionError, StreamError
from socketkit.streams.stream import Stream

__all__ = ["ExchangeProbe", "bytes_pattern", "parse_bytes"]

MAX_ANSWER_SIZE: Final = 64 * 1024
"""Bytes of a stream that are searched for the expected answer."""

EXCERPT_SIZE: Final = 60
"""Bytes of an unexpected answer that the reason shows."""


def parse_bytes(text: str) -> bytes:
    r"""The bytes of `hex:48 65`, or of text with the escapes `\n \r \t \0 \e \\ \xNN`.

    Raises:
        OptionError: the text is written otherwise.
    """
    if not text:
        raise OptionError("'' has no byte to send; give text, or hex:00ff")
    is_hex = text.startswith("hex:")
    way = FromHex() if is_hex else Escaped()
    try:
        written = text.removeprefix("hex:") if is_hex else text
        return way.feed(written.encode(errors="surrogateescape")) + way.end()
    except FramingError as error:
        raise OptionError(str(error).removeprefix("--in hex: ")) from None


def bytes_pattern(text: str) -> re.Pattern[bytes]:
    """A regular expression over bytes; raises OptionError where it is none."""
    try:
        return re.compile(text.encode(errors="surrogateescape"))
    except re.error as error:
        raise OptionError(f"{text!r} is not a regular expression: {error}") from None


class ExchangeProbe(Probe):
    """Connect, send, and wait for an answer that matches.

    A datagram is its own answer. Of a stream the first 64 KiB are searched, as they arrive. Without a pattern any
    answer will do.
    """

    def __init__(self, address: Address, message: bytes | None, expected: re.Pattern[bytes] | None) -> None:
        """Raises:
        OptionError: nobody answers at such an address, or nothing is sent where the peer never speaks first.
        """
        if address.is_given:
            raise OptionError(f"{address}: --send and --expect are for sockets; {address.scheme}: names no listener")
        is_datagram = address.transport.kind in ("SOCK_DGRAM", "SOCK_RAW")
        if is_datagram and message is None:
            raise OptionError(f"{address}: over {address.scheme} no side sends first: give --send TEXT too")
        self.address = address
        self._message = message
        self._expected = expected
        self._is_datagram = is_datagram

    def __str__(self) -> str:
        return str(self.address)

    async def look(self, look: Look) -> str | None:
        deadline = look.engine.deadline(look.options.connect_timeout)
        received = bytearray()
        try:
            stream = await look.open(self.address)
            try:
                if self._message is not None:
                    await stream.send(self._message, deadline=deadline)
                return await self._receive(stream, received, deadline)
            finally:
                stream.close() if self._is_datagram else look.close(stream)
        except DeadlineError as error:
            if error.attempts or not (received or self._message or self._expected):
                return reason_of_failure(self.address, error)
            return f"{self._unexpected(received) or 'no answer'} within {look.timeout_text}"
        except EndOfStream:
            return f"closed after {self._unexpected(received) or 'no answer'}"
        except (OpenError, StreamError) as error:
            return reason_of_failure(self.address, error)

    async def _receive(self, stream: Stream, received: bytearray, deadline: float | None) -> str | None:
        while len(received) < MAX_ANSWER_SIZE:
            data = await stream.receive(deadline=deadline)
            if self._is_datagram:
                received.clear()
            received += data
            if self._expected is None or self._expected.search(received):
                return None
        return f"the first {len(received)} bytes do not match {self._pattern_text()}"

    def _unexpected(self, received: bytearray) -> str:
        if not received:
            return ""
        return f"the answer {bytes(received[:EXCERPT_SIZE])!r}, which does not match {self._pattern_text()}"

    def _pattern_text(self) -> str:
        return "" if self._expected is None else repr(self._expected.pattern.decode(errors="replace"))
