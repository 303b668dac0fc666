"""Compression of messages (permessage-deflate, RFC 7692): raw DEFLATE, without the four bytes that end each flush."""

from __future__ import annotations

import zlib
from typing import Any, Final

from socketkit.errors import FramingError
from socketkit.values import Value
from socketkit.websocket.frames import protocol_error

__all__ = ["Deflate", "DeflateParameters", "accept_offer", "agree_on"]

_TAIL: Final = b"\x00\x00\xff\xff"

MAX_WRITE_BITS: Final = 12
"""The largest window with which we compress, whatever was agreed on: as websockets has it.

With 15 bits a text of 4 KiB is a sixth smaller. It costs three times as much where connections take turns in the
processor's cache, and each holds 147 KB in place of 32 KB.
"""

OFFER: Final = "permessage-deflate; client_max_window_bits"
"""What a client offers: the server may ask for a smaller window."""


class DeflateParameters(Value):
    """What both ends have agreed on (RFC 7692, 7.1). Bits are the binary logarithm of the window's size.

    zlib cannot write raw DEFLATE with a window of 8 bits; 9 are used in its place, where that is allowed.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15

    def header(self) -> str:
        """Return the value of `Sec-WebSocket-Extensions` that says so."""
        words = ["permessage-deflate"]
        words += [name for name in _FLAGS if getattr(self, name)]
        words += [f"{name}={getattr(self, name)}" for name in _BITS if getattr(self, name) != 15]
        return "; ".join(words)


_FLAGS: Final = ("server_no_context_takeover", "client_no_context_takeover")
_BITS: Final = ("server_max_window_bits", "client_max_window_bits")


def _offers(header: str) -> list[list[tuple[str, str | None]]]:
    """Return the offers of permessage-deflate, each as its parameters."""
    offers = []
    for offer in header.split(","):
        name, *parameters = (word.strip() for word in offer.split(";"))
        if name.lower() == "permessage-deflate":
            pairs = [parameter.partition("=") for parameter in parameters]
            offers.append(
                [(key.strip().lower(), value.strip().strip('"') if mark else None) for key, mark, value in pairs]
            )
    return offers


def _read(parameters: list[tuple[str, str | None]], *, is_offer: bool) -> DeflateParameters | None:
    """Return the parameters; None where one is unknown, stands twice, or has a wrong value (7.1)."""
    found: dict[str, Any] = {}
    for name, value in parameters:
        if name in found:
            return None
        if name in _FLAGS and value is None:
            found[name] = True
        elif name in _BITS and value is not None and value.isascii() and value.isdecimal() and value == str(int(value)):
            found[name] = int(value)
            if not 8 <= found[name] <= 15:
                return None
        elif name == "client_max_window_bits" and value is None and is_offer:
            found[name] = 15
        else:
            return None
    return DeflateParameters(**found)


def accept_offer(header: str) -> DeflateParameters | None:
    """Return what a server agrees to: the first offer that it can follow; None: there is none, no compression."""
    for offer in _offers(header):
        parameters = _read(offer, is_offer=True)
        if parameters is None or parameters.server_max_window_bits == 8:  # zlib has no 8
            continue
        return parameters
    return None


def agree_on(header: str) -> DeflateParameters:
    """Return what a server has answered to our offer.

    Raises:
        ValueError: it has answered something that was not offered.
    """
    offers = _offers(header)
    parameters = _read(offers[0], is_offer=False) if len(offers) == 1 and "," not in header else None
    if parameters is None or parameters.client_max_window_bits == 8:  # which zlib cannot write
        raise ValueError(header)
    return parameters


class Deflate:
    """Both directions of one connection.

    Attributes:
        write_bits: the binary logarithm of the window with which we compress.
    """

    __slots__ = ("_decoder", "_encoder", "_forgets", "_peer_forgets", "_read_bits", "write_bits")

    def __init__(self, parameters: DeflateParameters, *, is_server: bool) -> None:
        own, peer = ("server", "client") if is_server else ("client", "server")
        self._forgets = bool(getattr(parameters, f"{own}_no_context_takeover"))
        self._peer_forgets = bool(getattr(parameters, f"{peer}_no_context_takeover"))
        self.write_bits = min(MAX_WRITE_BITS, int(getattr(parameters, f"{own}_max_window_bits")))
        self._read_bits = max(9, int(getattr(parameters, f"{peer}_max_window_bits")))
        self._encoder: Any = None
        self._decoder: Any = None

    def compress(self, data: bytes) -> bytes:
        """Return the payload of a message, compressed."""
        encoder = self._encoder or zlib.compressobj(wbits=-self.write_bits, memLevel=5)
        self._encoder = None if self._forgets else encoder
        return _compress(encoder, data)

    def compress_alone(self, data: bytes) -> bytes:
        """Return the payload of a message, compressed without what was before it: every peer with this window reads it.

        Where it is sent, `forget` is to be called, for what follows.
        """
        return _compress(zlib.compressobj(wbits=-self.write_bits, memLevel=5), data)

    def forget(self) -> None:
        """Compress the next message without what was before it: the peer has received what the encoder has not seen."""
        self._encoder = None

    def decompress(self, data: bytes, room: int, is_last: bool) -> bytes:
        """Return the bytes of a part of a message; one more than `room` where it has more, and is not inflated further.

        Args:
            data: the part, as it came.
            room: bytes that it may have, inclusive.
            is_last: whether the message ends with it.

        Raises:
            FramingError: it is not DEFLATE (1007).
        """
        decoder = self._decoder or zlib.decompressobj(wbits=-self._read_bits)
        self._decoder = decoder
        try:
            made: bytes = decoder.decompress(data + _TAIL if is_last else data, room + 1)
        except zlib.error as error:
            raise _broken(str(error)) from None
        if decoder.eof or (is_last and self._peer_forgets):  # BFINAL may be set (RFC 7692, 7.2.3.4)
            self._decoder = None
        return made


def _compress(encoder: Any, data: bytes) -> bytes:
    compressed: bytes = encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH)
    return compressed[:-4]


def _broken(reason: str) -> FramingError:
    return protocol_error(f"a compressed message is not DEFLATE: {reason}", 1007)
