"""Every stream that keeps boundaries keeps its promise, on every engine."""

from __future__ import annotations

from contracts.datagram_contract import DatagramContract


class TestDatagrams(DatagramContract):
    """UDP, UNIX datagrams and packets; the client's end, and the server's."""
