"""Credentials of a UNIX peer, and where there are none."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from socketkit.sockets.peer_credentials import Credentials, credentials_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED is Linux's")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_credentials_of_pair(kind):
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    with left, right:
        assert credentials_of(left) == Credentials(os.getpid(), os.getuid(), os.getgid())


def test_no_credentials_of_datagrams(tmp_path):
    """The kernel knows none: each datagram may come from another process."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        server.bind(str(tmp_path / "server"))
        client.connect(str(tmp_path / "server"))
        assert credentials_of(server) is None
        assert credentials_of(client) is None


def test_no_credentials_of_tcp():
    with socket.socket() as sock:
        assert credentials_of(sock) is None
