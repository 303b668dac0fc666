"""The PROXY protocol: the header by which a proxy names the client to the server behind it. Pure bytes.

Both versions of HAProxy's specification (proxy-protocol.txt; comments name its sections) are read strictly: a header is
right in every part, or it is refused. A reader asks `missing` how many bytes surely belong to the header and takes no
more, so that what follows (a ClientHello, the first message) stays in the socket.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from socketkit.config.address import Address
from socketkit.config.quoting import quote
from socketkit.errors import AddressError, HandshakeError
from socketkit.values import Value

__all__ = [
    "ALPN",
    "AUTHORITY",
    "CRC32C",
    "MAX_SIZE",
    "NOOP",
    "UNIQUE_ID",
    "ProxyHeader",
    "encode",
    "for_version",
    "missing",
    "parse",
]

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"  # 2.2: twelve bytes that no other protocol begins with
MAX_LINE: Final = 107  # 2.1: the longest line, its CRLF included
MAX_SIZE: Final = 4096
"""Bytes of a binary header, at most: the format allows 65 551, real ones with a certificate's name have 500."""

FIRST: Final = 15  # "PROXY UNKNOWN\r\n", the shortest header of either version
FIXED: Final = 16  # 2.2: signature, version and command, family and protocol, length

ALPN, AUTHORITY, CRC32C, NOOP, UNIQUE_ID = 0x01, 0x02, 0x03, 0x04, 0x05  # 2.2.1 to 2.2.5
_NAMES: Final = {0x1: "tcp", 0x2: "udp"}  # 2.2: the transport, the low half of the thirteenth byte
_UNIX_NAMES: Final = {0x1: "unix", 0x2: "unixgram"}
_PATH_SIZE: Final = 108  # 2.2: struct sockaddr_un


class ProxyHeader(Value):
    """The header of a connection that a proxy forwards.

    Attributes:
        version: 1 or 2.
        source: the client's address; None where the proxy speaks for itself (LOCAL: a health check) or does not know.
        destination: the address that the client connected to; None likewise.
        tlvs: further fields, as pairs of type (`ALPN`, `AUTHORITY`, `UNIQUE_ID`, ...) and bytes; version 2 only.
    """

    version: int
    source: Address | None = None
    destination: Address | None = None
    tlvs: tuple[tuple[int, bytes], ...] = ()

    def field(self, kind: int) -> bytes | None:
        """Return the first field of this type; None where there is none."""
        return next((value for found, value in self.tlvs if found == kind), None)


def missing(data: bytes) -> int:
    """Return how many more bytes surely belong to the header that begins with these; 0 when it is whole.

    Raises:
        HandshakeError: it is no header, or one that is too long.
    """
    start = data[:FIXED]
    if SIGNATURE.startswith(start[: len(SIGNATURE)]):
        if len(data) < FIXED:
            return (FIRST if len(data) < FIRST else FIXED) - len(data)
        size = FIXED + int.from_bytes(data[14:16], "big")
        if size > MAX_SIZE:
            raise HandshakeError(f"it has {size} bytes, and at most {MAX_SIZE} are read")
        return max(0, size - len(data))
    if not b"PROXY ".startswith(start[:6]):
        raise HandshakeError(f"it begins with {quote(data[:FIRST])}, as neither version does")
    if b"\n" in data:
        return 0
    if len(data) >= MAX_LINE:
        raise HandshakeError(f"its line has no end within {MAX_LINE} bytes")
    if len(data) < FIRST:
        return FIRST - len(data)
    return 1 if data.endswith(b"\r") or len(data) == MAX_LINE - 1 else 2


def parse(data: bytes) -> ProxyHeader:
    """Parse one whole header, with nothing behind it.

    Raises:
        HandshakeError: a part of it is wrong; the message names it.
    """
    try:
        return _parse_binary(data) if data.startswith(SIGNATURE) else _parse_line(data)
    except AddressError as error:  # a path that cannot be written, say
        raise HandshakeError(str(error)) from None


def _parse_line(data: bytes) -> ProxyHeader:
    """2.1: `PROXY TCP4 source destination port port CRLF`, one space between them."""
    if data.startswith((b"PROXY UNKNOWN ", b"PROXY UNKNOWN\r")) and data.endswith(b"\r\n") and len(data) <= MAX_LINE:
        return ProxyHeader(1)  # 2.1: "the receiver must ignore anything presented before the CRLF", of any bytes
    if not data.endswith(b"\r\n") or len(data) > MAX_LINE or not data.isascii():
        raise HandshakeError(f"{quote(data)} is no line of at most {MAX_LINE} ASCII bytes that ends in CRLF")
    words = data[:-2].decode("ascii").split(" ")
    if len(words) != 6 or words[0] != "PROXY" or words[1] not in ("TCP4", "TCP6"):
        raise HandshakeError(f"{quote(data)} is not PROXY, TCP4 or TCP6, two addresses and two ports")
    kind = IPv4Address if words[1] == "TCP4" else IPv6Address
    source, destination = (_host(kind, word) for word in words[2:4])
    return ProxyHeader(1, _tcp(source, _port(words[4])), _tcp(destination, _port(words[5])))


def _host(kind: type[IPv4Address] | type[IPv6Address], word: str) -> str:
    try:
        if "%" in word:
            raise ValueError  # a zone is valid on one machine only
        return str(kind(word))
    except ValueError:
        raise HandshakeError(f"{quote(word)} is no address of its family") from None


def _port(word: str) -> int:
    if not word.isdecimal() or len(word) > 5 or int(word) > 65535 or str(int(word)) != word:
        raise HandshakeError(f"{quote(word)} is no port; allowed is 0 to 65535, without zeros before it")
    return int(word)


def _tcp(host: str, port: int, scheme: str = "tcp") -> Address:
    return Address(scheme, host, port)


def _parse_binary(data: bytes) -> ProxyHeader:
    """2.2: the fixed part, the addresses by their family, then the fields."""
    if len(data) < FIXED or missing(data) or len(data) != FIXED + struct.unpack_from("!H", data, 14)[0]:
        raise HandshakeError(f"its {len(data)} bytes are not as many as it says")
    version, command, family, protocol = data[12] >> 4, data[12] & 0xF, data[13] >> 4, data[13] & 0xF
    if version != 2 or command > 1:
        raise HandshakeError(f"version {version} with command {command}; allowed are version 2 and commands 0 and 1")
    if command == 0:
        return ProxyHeader(2)  # LOCAL: "must discard the protocol block including the family which is ignored"
    body = data[FIXED:]
    if family > 3 or protocol > 2:
        raise HandshakeError(f"family {family} with protocol {protocol}; the specification has 0 to 3 with 0 to 2")
    size = (0, 12, 36, 2 * _PATH_SIZE)[family] if protocol else 0
    if family == 0 or protocol == 0:
        return ProxyHeader(2)  # UNSPEC: the receiver "should ignore" the addresses, and take the real endpoints
    if len(body) < size:
        raise HandshakeError(f"family {family} needs {size} bytes of addresses, and there are {len(body)}")
    fields = tuple(_fields(body[size:]))
    _check_sum(data, fields, FIXED + size)
    return ProxyHeader(2, *_addresses(family, protocol, body), fields)


def _addresses(family: int, protocol: int, body: bytes) -> tuple[Address, Address]:
    if family == 3:
        name = _UNIX_NAMES[protocol]
        return _unix(name, body[:_PATH_SIZE]), _unix(name, body[_PATH_SIZE : 2 * _PATH_SIZE])
    name = _NAMES[protocol]
    size, kind = (4, IPv4Address) if family == 1 else (16, IPv6Address)
    ports = struct.unpack_from("!HH", body, 2 * size)
    hosts = str(kind(body[:size])), str(kind(body[size : 2 * size]))
    return _tcp(hosts[0], ports[0], name), _tcp(hosts[1], ports[1], name)


def _unix(scheme: str, field: bytes) -> Address:
    """A path ends at its first zero; one that begins with zero is an abstract name, which ends at the second."""
    sign, name = (b"@", field[1:]) if field.startswith(b"\0") else (b"", field)
    name = name.partition(b"\0")[0]
    return Address(scheme, path=(sign + name if name else b"").decode("utf-8", "surrogateescape"))


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """2.2.x: type, length in two bytes, value; to the end."""
    at = 0
    while at < len(data):
        if len(data) - at < 3:
            raise HandshakeError(f"{len(data) - at} bytes behind its last field are too few for another")
        kind, size = struct.unpack_from("!BH", data, at)
        if at + 3 + size > len(data):
            raise HandshakeError(f"its field {kind:#04x} says {size} bytes, and {len(data) - at - 3} are left")
        if kind != NOOP:
            yield kind, data[at + 3 : at + 3 + size]
        at += 3 + size


def _check_sum(data: bytes, fields: tuple[tuple[int, bytes], ...], start: int) -> None:
    """2.2.3: the sum is over the whole header, with the sum's own four bytes as zeros."""
    stored = next((value for kind, value in fields if kind == CRC32C), None)
    if stored is None:
        return
    if len(stored) != 4:
        raise HandshakeError(f"its checksum has {len(stored)} bytes, not 4")
    at = start
    while data[at] != CRC32C:
        at += 3 + struct.unpack_from("!H", data, at + 1)[0]
    found = _crc32c(data[: at + 3] + bytes(4) + data[at + 7 :])
    if found != int.from_bytes(stored, "big"):
        raise HandshakeError(f"its checksum says {stored.hex()}, and its bytes are {found:08x}")


def _crc32c(data: bytes) -> int:
    """RFC 3720, appendix B.4: Castagnoli's polynomial, reflected. Headers are short: a bit at a time is fast enough."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def encode(header: ProxyHeader) -> bytes:
    """Return the header as bytes; `parse` gives the same back. The value of a `CRC32C` field is computed here.

    Raises:
        HandshakeError: the header does not fit this version: a UNIX socket or fields in version 1, more than
            `MAX_SIZE` bytes.
    """
    return _encode_line(header) if header.version == 1 else _encode_binary(header)


def for_version(version: int, source: Address, destination: Address) -> ProxyHeader:
    """Return the header for these two addresses; without addresses where this version cannot express the pair."""
    families = ("4", "6") if version == 1 else ("4", "6", "unix")
    if _family(source) != _family(destination) or _family(source) not in families:
        return ProxyHeader(version)
    return ProxyHeader(version, source, destination)


def _family(address: Address | None) -> str:
    if address is None:
        return ""
    if address.host:
        return "6" if ":" in address.host else "4" if address.is_numeric_host else ""
    return "unix" if address.scheme in _UNIX_NAMES.values() else ""


def _encode_line(header: ProxyHeader) -> bytes:
    source, destination = header.source, header.destination
    if header.tlvs:
        raise HandshakeError("version 1 of the PROXY protocol has no fields; version 2 has")
    if source is None or destination is None:
        return b"PROXY UNKNOWN\r\n"
    family = _family(source)
    if family not in ("4", "6") or family != _family(destination) or "udp" in source.scheme:
        raise HandshakeError(f"version 1 of the PROXY protocol cannot say {source} and {destination}")
    hosts = (address.host.partition("%")[0] for address in (source, destination))
    return f"PROXY TCP{family} {' '.join(hosts)} {source.port} {destination.port}\r\n".encode("ascii")


def _encode_binary(header: ProxyHeader) -> bytes:
    source, destination = header.source, header.destination
    if source is None or destination is None:
        return SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)  # LOCAL
    family = _family(source)
    if not family or family != _family(destination):
        raise HandshakeError(f"the PROXY protocol cannot say {source} and {destination}: they have no common family")
    if family == "unix":
        kind = 0x30 | (2 if source.scheme == "unixgram" else 1)
        body = b"".join(_path_field(address) for address in (source, destination))
    else:
        kind = (0x10 if family == "4" else 0x20) | (2 if source.scheme.startswith("udp") else 1)
        make = IPv4Address if family == "4" else IPv6Address
        hosts = (make(address.host.partition("%")[0]).packed for address in (source, destination))
        body = b"".join(hosts) + struct.pack("!HH", source.port, destination.port)
    sums = [bytes(4) if field == CRC32C else value for field, value in header.tlvs]
    pairs = zip((field for field, _ in header.tlvs), sums, strict=True)
    body += b"".join(struct.pack("!BH", field, len(value)) + value for field, value in pairs)
    if FIXED + len(body) > MAX_SIZE:
        raise HandshakeError(f"a PROXY header of {FIXED + len(body)} bytes; at most {MAX_SIZE} are written")
    data = SIGNATURE + struct.pack("!BBH", 0x21, kind, len(body)) + body
    return _with_sum(data, header, len(data) - sum(3 + len(value) for value in sums))


def _with_sum(data: bytes, header: ProxyHeader, at: int) -> bytes:
    for kind, value in header.tlvs:
        if kind == CRC32C:
            return data[: at + 3] + _crc32c(data).to_bytes(4, "big") + data[at + 7 :]
        at += 3 + len(value)
    return data


def _path_field(address: Address) -> bytes:
    if len(address.socket_path) > _PATH_SIZE:
        raise HandshakeError(f"a path of {len(address.socket_path)} bytes; in a PROXY header {_PATH_SIZE} fit")
    return address.socket_path.ljust(_PATH_SIZE, b"\0")
