"""Texts of addresses, written without an `Address` for IPv4."""

from __future__ import annotations

import socket

import pytest

from socketkit.config.address import Address
from socketkit.sockets.calls import address_of, address_text

INTERNET = [("127.0.0.1", 1), ("0.0.0.0", 0), ("255.255.255.255", 65535)]


@pytest.mark.parametrize(
    ("family", "kind", "name"),
    [
        *[(socket.AF_INET, kind, name) for name in INTERNET for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)],
        (socket.AF_INET, socket.SOCK_RAW, ("127.0.0.1", 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 5, 0, 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:10.0.0.1", 5, 0, 0)),
        (socket.AF_INET6, socket.SOCK_DGRAM, ("fe80::1", 5, 0, 2)),
        (socket.AF_UNIX, socket.SOCK_STREAM, "/run/socket"),
        (socket.AF_UNIX, socket.SOCK_DGRAM, ""),
    ],
)
def test_text_is_that_of_address(family, kind, name):
    assert address_text(family, kind, name) == str(Address.from_socket_name(family, kind, name))
    assert address_text(int(family), int(kind), name) == address_text(family, kind, name), "as gevent has them"


def test_text_of_socket():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert address_of(sock, sock.getsockname()) == f"tcp://127.0.0.1:{sock.getsockname()[1]}"
