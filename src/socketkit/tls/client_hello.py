"""The server name in a ClientHello (RFC 8446, 4.1.2; RFC 6066, 3), read before OpenSSL does.

CPython decodes the name before it calls `sni_callback`: a name that is not ASCII refuses the client with an internal
error, and prints a traceback on standard error for each such client. So the certificate is chosen from the bytes.
"""

from __future__ import annotations

from typing import Final

__all__ = ["read_server_name"]

MAX_SIZE: Final = 256 * 1024
"""Bytes after which OpenSSL refuses the ClientHello anyway (it takes 131 396 of them)."""

_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0


def read_server_name(data: bytes | bytearray) -> bytes | None:
    """The name that the client asks for.

    Args:
        data: all bytes of the client so far.

    Returns:
        The name, which may be any bytes; empty where the client named none, or does not speak TLS. None: the
        ClientHello is not complete yet.
    """
    hello = _client_hello(data)
    if not hello:
        return hello
    try:
        return _server_name(hello)
    except IndexError:
        return b""


def _client_hello(data: bytes | bytearray) -> bytes | None:
    """The body of the first handshake message, which may be spread over several records."""
    message, at = bytearray(), 0
    while len(data) - at >= 5:
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        fragment = data[at + 5 : at + 5 + size]
        message += fragment
        if data[at] != _HANDSHAKE or (message and message[0] != _CLIENT_HELLO):
            return b""
        whole = 4 + int.from_bytes(message[1:4], "big")
        if whole > MAX_SIZE:
            return b""
        if len(message) >= 4 and len(message) >= whole:
            return bytes(message[4:whole])
        if len(fragment) < size:
            break
        at += 5 + size
    return b"" if (data and data[0] != _HANDSHAKE) or len(data) > MAX_SIZE else None


def _server_name(hello: bytes) -> bytes:
    """Raises:
    IndexError: the message ends within a length.
    """
    at = 2 + 32  # legacy_version, random
    at += 1 + hello[at]  # legacy_session_id
    at += 2 + _number(hello, at)  # cipher_suites
    at += 1 + hello[at]  # legacy_compression_methods
    end = at + 2 + _number(hello, at)
    at += 2
    while at < end:
        kind, size = _number(hello, at), _number(hello, at + 2)
        if kind == _SERVER_NAME and hello[at + 6] == _HOST_NAME:
            return hello[at + 9 : at + 9 + _number(hello, at + 7)]
        at += 4 + size
    return b""


def _number(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]
