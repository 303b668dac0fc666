"""The PROXY protocol in bytes: what is said is read back, what is wrong is refused, and nothing else can happen."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit import Address
from socketkit.connection.proxy_protocol import (
    ALPN,
    AUTHORITY,
    CRC32C,
    MAX_LINE,
    MAX_SIZE,
    ProxyHeader,
    encode,
    missing,
    parse,
)
from socketkit.connection.proxy_protocol import for_version as header_for
from socketkit.errors import HandshakeError

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PORTS = st.integers(0, 65535)


def places(kind):
    return st.builds(lambda host, port: Address("tcp", str(host), port), st.ip_addresses(v=kind), PORTS)


PAIRS = st.one_of(st.tuples(places(4), places(4)), st.tuples(places(6), places(6)))
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=30).map(
    lambda name: Address("unix", path=f"/{name.replace('/', '-')}")
)
FIELDS = st.lists(
    st.tuples(st.sampled_from([ALPN, AUTHORITY, 0xE0, 0xFF]), st.binary(max_size=40)), max_size=4, unique_by=id
).map(tuple)


def read(data):
    """Read as the server does: never more bytes than surely belong to the header."""
    taken = 0
    while count := missing(data[:taken]):
        assert taken < len(data), "it wants more than there is"
        taken = min(len(data), taken + count)
    return parse(data[:taken]), data[taken:]


@given(PAIRS, st.binary(max_size=200))
def test_proxy_v1_leaves_following_bytes(pair, rest):
    """A line is read back and what follows stays."""
    header = ProxyHeader(1, *pair)
    assert read(encode(header) + rest) == (header, rest)


@given(st.one_of(PAIRS, st.tuples(NAMES, NAMES)), FIELDS, st.booleans(), st.binary(max_size=200))
def test_proxy_v2_leaves_following_bytes(pair, fields, summed, rest):
    """A binary header is read back and what follows stays."""
    header = ProxyHeader(2, *pair, tlvs=((*fields, (CRC32C, b"")) if summed else fields))
    found, left = read(encode(header) + rest)
    assert left == rest
    assert (found.source, found.destination) == pair
    assert [entry for entry in found.tlvs if entry[0] != CRC32C] == list(fields)


@given(st.binary(max_size=300))
def test_garbage_header_refused(data):
    """Garbage is refused and nothing else happens."""
    try:
        read(data + b"\r\n" * 60)
    except (HandshakeError, AssertionError):
        pass


@given(PAIRS, st.sampled_from([1, 2]), st.data())
def test_mutated_header_refused_or_differs(pair, version, draw):
    """A changed byte is refused or says something else and nothing else happens."""
    data = bytearray(encode(ProxyHeader(version, *pair, tlvs=((CRC32C, b""),) if version == 2 else ())))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] ^= draw.draw(st.integers(1, 255))
    try:
        header = parse(bytes(data))
    except HandshakeError:
        return
    assert version == 1 or header.source is None or data[at - 3 : at - 2] == bytes([CRC32C]) or data[-7] != CRC32C


# Lines of the specification itself (2.1) and of `struct` by hand (2.2).
@pytest.mark.parametrize(
    ("data", "source"),
    [
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "tcp://255.255.255.255:65535"),
        (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "tcp://192.168.0.1:56324"),
        (b"PROXY TCP6 ffff:f00::1 ::1 65535 0\r\n", "tcp://[ffff:f00::1]:65535"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff:ffff::1 anything at all 1 2\r\n", None),
        (b"PROXY UNKNOWN \xff\xfe\x00\xc3\x28 \r\n", None),
        (SIGNATURE + b"\x20\x00\x00\x00", None),
        (SIGNATURE + b"\x20\x11\x00\x0c" + bytes(12), None),
        (SIGNATURE + b"\x21\x00\x00\x02xx", None),
        (SIGNATURE + b"\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x01\xbb\x00\x50", "tcp://10.0.0.1:443"),
        (
            SIGNATURE + b"\x21\x21\x00\x24" + bytes(15) + b"\x01" + bytes(15) + b"\x02\x01\xbb\x00\x50",
            "tcp://[::1]:443",
        ),
        (SIGNATURE + b"\x21\x31\x00\xd8" + b"/run/a".ljust(108, b"\0") + bytes(108), "unix:///run/a"),
    ],
)
def test_specification_examples(data, source):
    """What the specification shows is read."""
    header, rest = read(data + b"hello")
    assert rest == b"hello"
    assert (None if header.source is None else str(header.source)) == source


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "neither version"),
        (b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "neither version"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n", "ends in CRLF"),
        (b"PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n", "two addresses and two ports"),
        (b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", "two addresses and two ports"),
        (b"PROXY TCP4 1.1.1.256 1.1.1.1 1 1\r\n", "no address of its family"),
        (b"PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n", "no address of its family"),
        (b"PROXY TCP4 ::1 ::1 1 1\r\n", "no address of its family"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", "no address of its family"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", "no port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", "no port"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 -1 1\r\n", "no port"),
        (b"PROXY UNKNOWN " + b"x" * MAX_LINE + b"\r\n", "no end within 107"),
        (SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12), "version 1 with command 1"),
        (SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12), "version 2 with command 2"),
        (SIGNATURE + b"\x21\x41\x00\x0c" + bytes(12), "family 4"),
        (SIGNATURE + b"\x21\x13\x00\x0c" + bytes(12), "protocol 3"),
        (SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11), "needs 12 bytes of addresses"),
        (SIGNATURE + b"\x21\x11\x00\x0e" + bytes(14), "too few for another"),
        (SIGNATURE + b"\x21\x11\x00\x0f" + bytes(12) + b"\x01\x00\x01", "says 1 bytes, and 0 are left"),
        (SIGNATURE + b"\x21\x11\x00\x13" + bytes(12) + b"\x03\x00\x04abcd", "its checksum says 61626364"),
        (SIGNATURE + b"\x21\x11" + struct.pack("!H", MAX_SIZE), "at most 4096 are read"),
    ],
)
def test_malformed_header_reason(data, reason):
    """What is wrong is refused and says why."""
    with pytest.raises(HandshakeError, match=reason):
        read(data)


def test_longest_v1_line_limit():
    """The longest line is read and one byte more is not."""
    line = b"PROXY UNKNOWN " + b"x" * (MAX_LINE - 16) + b"\r\n"
    assert len(line) == MAX_LINE
    assert read(line)[0] == ProxyHeader(1)
    with pytest.raises(HandshakeError):
        read(b"PROXY UNKNOWN x" + line[14:])


def test_the_checksum_is_castagnolis():
    """RFC 3720, B.4 has the vector: 32 bytes of zero give aa36918a (as a number: 8a9136aa)."""
    from socketkit.connection.proxy_protocol import _crc32c

    assert _crc32c(bytes(32)) == 0x8A9136AA


@given(PAIRS, st.sampled_from([1, 2]))
def test_what_a_version_can_say_it_says(pair, version):
    assert header_for(version, *pair) == ProxyHeader(version, *pair)


def test_unknown_for_unsupported_family():
    """What a version cannot say it calls unknown."""
    four, six = Address("tcp", "10.0.0.1", 1), Address("tcp", str(ipaddress.ip_address("::1")), 1)
    path = Address("unix", path="/run/a")
    assert header_for(1, four, six) == ProxyHeader(1)
    assert header_for(1, path, path) == ProxyHeader(1)
    assert header_for(2, path, four) == ProxyHeader(2)
    assert header_for(2, path, path) == ProxyHeader(2, path, path)
    with pytest.raises(HandshakeError, match="cannot say"):
        encode(ProxyHeader(1, path, path))
    with pytest.raises(HandshakeError, match="no common family"):
        encode(ProxyHeader(2, four, six))
