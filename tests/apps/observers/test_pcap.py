"""A capture reads back as the conversation that it was: bytes in order both ways, handshake, ends, checksums."""

from __future__ import annotations

import io
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

dpkt = pytest.importorskip("dpkt")

from socketkit.apps.observers.pcap import SEGMENT_SIZE, Capture  # noqa: E402
from socketkit.errors import BrokenError  # noqa: E402
from socketkit.events import Accepted, Closed, Connected, EndReceived, EndSent, Received, Sent  # noqa: E402

OURS, THEIRS = "tcp://127.0.0.1:40000", "tcp://127.0.0.1:50000"


def packets(*events):
    blocks = []
    capture = Capture(blocks.append, clock=lambda: 1_700_000_000.25)
    for event in events:
        capture(event)
    read = list(dpkt.pcapng.Reader(io.BytesIO(b"".join(blocks))))
    assert all(moment == 1_700_000_000.25 for moment, _ in read)
    return [_parsed(data) for _, data in read]


def _parsed(data):
    packet = (dpkt.ip.IP if data[0] >> 4 == 4 else dpkt.ip6.IP6)(data)
    again = type(packet)(data)
    again.sum = again.data.sum = 0  # made anew by dpkt where they are 0
    assert bytes(again) == data
    return packet


def said(read, port):
    return b"".join(packet.data.data for packet in read if packet.data.sport == port)


def test_a_conversation_that_we_opened():
    read = packets(
        Connected(1, OURS, THEIRS),
        Sent(1, b"ask"),
        Received(1, b"answer"),
        EndSent(1),
        EndReceived(1),
        Closed(1, 6, 3, None),
    )
    assert (said(read, 40000), said(read, 50000)) == (b"ask", b"answer")
    flags = [(packet.data.sport, packet.data.flags) for packet in read]
    assert flags == [
        (40000, 2), (50000, 18), (40000, 16), (40000, 24), (50000, 24), (40000, 17), (50000, 17),
    ]  # fmt: skip
    *_, last = read
    assert (last.data.seq, last.data.ack) == (1 + len(b"answer"), 1 + len(b"ask") + 1)


def test_a_caller_begins_where_it_came_to_us():
    read = packets(Accepted(1, OURS, THEIRS), Closed(1, 0, 0, None))
    assert [packet.data.sport for packet in read[:3]] == [50000, 40000, 50000]


def test_a_loss_is_a_reset():
    *_, last = packets(Connected(1, OURS, THEIRS), Closed(1, 0, 0, BrokenError("reset")))
    assert last.data.flags & dpkt.tcp.TH_RST


def test_ipv6_and_a_zone():
    read = packets(Connected(1, "tcp://[fe80::1%25eth0]:1", "tcp://[fe80::2%25eth0]:2"), Sent(1, b"data"))
    assert isinstance(read[0], dpkt.ip6.IP6)
    assert read[-1].dst == socket.inet_pton(socket.AF_INET6, "fe80::2")


def test_unix_connections_get_stand_in_addresses():
    """What has no ip address gets stand ins and each connection its port."""
    first, second = (
        packets(Connected(number, "unix://unnamed", "unix:///run/x.sock"), Sent(number, b"data")) for number in (1, 2)
    )
    assert {packet.src for packet in first} == {bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])}
    assert first[0].data.sport != second[0].data.sport


def test_unknown_connection_ignored():
    """An unknown connection is passed over."""
    assert packets(Sent(9, b"data"), Closed(9, 0, 0, None)) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3 * SEGMENT_SIZE))))
def test_pcap_packets_in_order_and_bounded(pieces):
    """Bytes read back in order in packets that fit."""
    events = [
        (Sent if ours else Received)(1, bytes([number % 251]) * size) for number, (ours, size) in enumerate(pieces)
    ]
    read = packets(Connected(1, OURS, THEIRS), *events)
    for kind, port in ((Sent, 40000), (Received, 50000)):
        expected = b"".join(event.data for event in events if isinstance(event, kind))
        assert said(read, port) == expected
        place = 1
        for packet in read[3:]:
            if packet.data.sport == port:
                assert packet.data.seq == place
                place += len(packet.data.data)
    assert all(len(bytes(packet)) <= 65535 for packet in read)


@pytest.mark.parametrize(
    ("local", "peer", "limit"),
    [
        ("udp://127.0.0.1:1", "udp://127.0.0.1:2", 65_507),
        ("udp://[::1]:1", "udp://[::1]:2", 65_527),
        ("unixgram:///run/a", "unixgram:///run/b", 65_507),
    ],
)
@pytest.mark.parametrize("excess", [0, 1, 100_000])
def test_long_datagram(local, peer, limit, excess):
    """A datagram that fits into no IP packet is cut, and the record holds its real length."""
    data = bytes(range(251)) * 1000
    data = data[: limit + excess]
    blocks = []
    capture = Capture(blocks.append)
    for event in (Connected(1, local, peer), Sent(1, data), Received(1, data), Closed(1, 0, 0, None)):
        capture(event)
    read = list(dpkt.pcapng.Reader(io.BytesIO(b"".join(blocks))))
    assert len(read) == 2
    assert all(_parsed(packet).data.data == data[:limit] for _, packet in read)
    record = dpkt.pcapng.EnhancedPacketBlockLE(blocks[1])
    assert record.pkt_len - record.caplen == excess
    assert (b"%d bytes of the datagram" % excess in blocks[1]) == bool(excess)


def test_raw_socket_is_no_stream():
    (packet,) = packets(Connected(1, "ip://127.0.0.1?protocol=253", "ip://127.0.0.2?protocol=253"), Sent(1, b"data"))
    assert packet.data.data == b"data"
    assert isinstance(packet.data, dpkt.udp.UDP)
