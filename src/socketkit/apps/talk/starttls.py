"""The exchange in plain text before TLS, by protocol: what `connect --starttls smtp` does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from html import escape
from typing import Any, Final

from socketkit.connection.connection import Connection
from socketkit.errors import EndOfStream, FramingError, HandshakeError

__all__ = ["PROTOCOLS", "negotiate"]

MAX_LINE_SIZE: Final = 8 * 1024
EXCERPT_SIZE: Final = 80


async def negotiate(connection: Connection, protocol: str, host: str) -> None:
    """Ask the server for TLS in its protocol, and change to TLS, within `handshake_timeout` a step.

    Args:
        connection: framed by chunks; nothing was received or sent.
        protocol: one of `PROTOCOLS`.
        host: the server's name as it was asked for, which XMPP sends (RFC 6120, 4.7.2).

    Raises:
        HandshakeError: the server refuses, answers in another protocol, or ends; or the handshake failed.
        DeadlineError, StreamError: as `receive` and `start_tls`.
    """
    timeout = connection.internals.options.handshake_timeout
    try:
        await _EXCHANGES[protocol](_Wire(connection, protocol, host, timeout))
    except (EndOfStream, FramingError) as error:
        raise _failure(connection, protocol, str(error)) from None
    await connection.start_tls()


def _failure(connection: Connection, protocol: str, reason: str) -> HandshakeError:
    peer = str(connection.peer)
    return HandshakeError(f"STARTTLS ({protocol}) with {peer}: {reason}", address=peer)


class _Wire:
    """What the exchanges need: lines, exact sizes, and an error that shows what was answered."""

    def __init__(self, connection: Connection, protocol: str, host: str, timeout: float | None) -> None:
        self._connection = connection
        self._protocol = protocol
        self._timeout = timeout
        self.host = host or "localhost"

    async def send(self, data: bytes) -> None:
        await self._connection.send(data)
        await self._connection.flush()

    async def until(self, mark: bytes) -> bytes:
        return await self._connection.receive_until(mark, max_size=MAX_LINE_SIZE, timeout=self._timeout)

    async def exactly(self, size: int) -> bytes:
        return await self._connection.receive_exactly(size, timeout=self._timeout)

    def check(self, is_right: bool, answer: bytes) -> None:
        if not is_right:
            raise _failure(self._connection, self._protocol, f"the server answered {answer[:EXCERPT_SIZE]!r}")


async def _smtp(wire: _Wire) -> None:
    """RFC 3207."""
    for command, code in ((b"", b"220"), (b"EHLO localhost\r\n", b"250"), (b"STARTTLS\r\n", b"220")):
        if command:
            await wire.send(command)
        while True:
            line = await wire.until(b"\n")
            wire.check(line.startswith(code), line)
            if line[3:4] != b"-":
                break


async def _imap(wire: _Wire) -> None:
    """RFC 9051, 6.2.1."""
    line = await wire.until(b"\n")
    wire.check(line.upper().startswith(b"* OK"), line)
    await wire.send(b"a1 STARTTLS\r\n")
    while not (line := await wire.until(b"\n")).startswith(b"a1 "):
        wire.check(line.startswith(b"* "), line)
    wire.check(line.upper().startswith(b"A1 OK"), line)


async def _pop3(wire: _Wire) -> None:
    """RFC 2595, 4."""
    for command in (b"", b"STLS\r\n"):
        if command:
            await wire.send(command)
        line = await wire.until(b"\n")
        wire.check(line.startswith(b"+OK"), line)


async def _xmpp(wire: _Wire) -> None:
    """RFC 6120, 5.4; a stream error instead of the features: 4.9."""
    await wire.send(
        f"<?xml version='1.0'?><stream:stream to='{escape(wire.host)}' version='1.0' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>".encode()
    )
    answer = b""
    while not answer.endswith((b"</stream:features>", b"</stream:error>")) and len(answer) < MAX_LINE_SIZE:
        answer += await wire.until(b">") + b">"
    wire.check(b"<stream:error" not in answer, answer[answer.find(b"<stream:error") :])
    wire.check(b"urn:ietf:params:xml:ns:xmpp-tls" in answer, answer)
    await wire.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    answer = await wire.until(b">")
    wire.check(b"<proceed" in answer, answer)


async def _postgres(wire: _Wire) -> None:
    """SSLRequest, in the chapter "Frontend/Backend Protocol"."""
    await wire.send(bytes.fromhex("0000000804d2162f"))
    answer = await wire.exactly(1)
    wire.check(answer == b"S", answer)


async def _ldap(wire: _Wire) -> None:
    """RFC 4511, 4.14: an extended request, whose response has the result code 0 (success)."""
    await wire.send(bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037")
    head = await wire.exactly(2)
    wire.check(head[0] == 0x30 and (head[1] < 0x80 or head[1] in (0x81, 0x82, 0x84)), head)
    size = head[1] if head[1] < 0x80 else int.from_bytes(await wire.exactly(head[1] & 0x7F), "big")
    wire.check(size <= MAX_LINE_SIZE, head)
    body = await wire.exactly(size)
    wire.check(body.startswith(b"\x02\x01\x01\x78") and b"\x0a\x01\x00" in body[:12], body)


_EXCHANGES: Final[dict[str, Callable[[_Wire], Coroutine[Any, Any, None]]]] = {
    "smtp": _smtp,
    "imap": _imap,
    "pop3": _pop3,
    "xmpp": _xmpp,
    "postgres": _postgres,
    "ldap": _ldap,
}

PROTOCOLS: Final = tuple(_EXCHANGES)
"""The names that `--starttls` takes."""
