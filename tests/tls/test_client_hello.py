"""The server name of a ClientHello: whole, in pieces, over several records, and in bytes that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.tls.client_hello import MAX_SIZE, read_server_name
from support.tls import client_hello

NAME = "host.example.org"
HELLO = client_hello(NAME)


@pytest.mark.parametrize("name", ["localhost", "x." * 100 + "example", "xn--brger-kva.example"])
def test_name_of_openssl_client(name):
    assert read_server_name(client_hello(name)) == name.encode()


def test_client_without_name():
    """An address is no name (RFC 6066, 3)."""
    assert read_server_name(client_hello("127.0.0.1")) == b""


def test_hello_in_pieces():
    """None until the last byte is there; what follows does not matter."""
    assert {read_server_name(HELLO[:size]) for size in range(len(HELLO))} == {None}
    assert read_server_name(HELLO + b"more") == NAME.encode()


@given(st.lists(st.integers(0, 300), max_size=20))
def test_hello_over_several_records(sizes):
    message, data = HELLO[5:], b""
    for size in [*sizes, len(message)]:
        fragment, message = message[:size], message[size:]
        data += HELLO[:3] + len(fragment).to_bytes(2, "big") + fragment
    assert read_server_name(data) == NAME.encode()


def test_name_of_any_bytes():
    assert read_server_name(HELLO.replace(b"host", b"h\xf6\0t")) == b"h\xf6\0t.example.org"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x80",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        b"\x16\x03\x01\x00\x00" * (MAX_SIZE // 5 + 1),
    ],
    ids=["http", "one byte", "alert", "another message", "too long", "empty records"],
)
def test_what_is_no_hello(data):
    """OpenSSL refuses it in its own words; nothing more is waited for."""
    assert read_server_name(data) == b""


def test_first_bytes_wait_for_more():
    assert read_server_name(b"") is None
    assert read_server_name(b"\x16\x03") is None


@given(st.data())
def test_garbled_hello(data):
    """A peer sends what it likes: a name, no name, or more is waited for; never an error."""
    garbled = bytearray(HELLO[: data.draw(st.integers(0, len(HELLO)))])
    for _ in range(data.draw(st.integers(0, 5))):
        if garbled:
            garbled[data.draw(st.integers(0, len(garbled) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(read_server_name(garbled), bytes | None)
