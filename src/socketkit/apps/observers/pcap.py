"""Record connections as a pcapng file from user space: an observer that makes packets of events.

It needs no privilege, and no packet is lost on a busy machine; under TLS it records the plaintext. The packets are made
up: handshake, data, ends. Sizes, order and times are real, the borders of the packets are not. Where an end has no IP
address, RFC 5737's documentation addresses stand in, and a comment holds the real ones.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from typing import Any, Final

from socketkit.config.address import Address
from socketkit.errors import AddressError, OptionError
from socketkit.events import Accepted, Closed, Connected, EndReceived, EndSent, Event, Received, Sent

try:
    import dpkt
except ImportError:
    raise OptionError(
        "pcap: recording packets needs dpkt, which is not installed: pip install 'socketkit[pcap]'"
    ) from None

__all__ = ["Capture"]

SEGMENT_SIZE: Final = 32 * 1024
"""Bytes of a segment's payload: an IP packet has at most 65 535 with its headers."""

MAX_LENGTH: Final = 65_535
"""The largest length that an IP header can hold. A longer datagram (UNIX sockets allow it) is cut, and the record names
its real length."""

STAND_INS: Final = ("192.0.2.1", "192.0.2.2")
"""Our address and the peer's, where there is no IP address (RFC 5737, TEST-NET-1)."""

_LINKTYPE_RAW: Final = 101
"""Packets that begin with their IP header (the registry of tcpdump.org)."""

_SNAPLEN: Final = 262_144
_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16


class Capture:
    """An observer that makes packets of connections.

    Args:
        write: called with each whole block of the file.
        clock: seconds since the epoch.
    """

    def __init__(self, write: Callable[[bytes], object], *, clock: Callable[[], float] = time.time) -> None:
        self._write = write
        self._clock = clock
        self._conversations: dict[int, _Conversation] = {}
        interface = dpkt.pcapng.InterfaceDescriptionBlockLE(snaplen=_SNAPLEN, linktype=_LINKTYPE_RAW)
        self._write(bytes(dpkt.pcapng.SectionHeaderBlockLE()) + bytes(interface))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Connected | Accepted):
            talk = self._conversations[event.connection] = _Conversation(event)
            for packet, comment in talk.begin():
                self._record(packet, comment)
            return
        encode = _ENCODERS.get(type(event))
        conversation = self._conversations.get(getattr(event, "connection", 0))
        if encode is None or conversation is None:
            return
        for packet in encode(conversation, event):
            self._record(packet, missing_size=conversation.missing_size(event))
        if isinstance(event, Closed):
            del self._conversations[event.connection]

    def _record(self, packet: bytes, comment: str = "", *, missing_size: int = 0) -> None:
        if missing_size:
            comment = f"cut: {missing_size} bytes of the datagram do not fit into an IP packet"
        moment = int(self._clock() * 1e6)
        options = [dpkt.pcapng.PcapngOptionLE(code=1, data=comment.encode())] if comment else []
        options += [dpkt.pcapng.PcapngOptionLE(code=0)] if comment else []
        block = dpkt.pcapng.EnhancedPacketBlockLE(
            ts_high=moment >> 32,
            ts_low=moment & 0xFFFFFFFF,
            caplen=len(packet),
            pkt_len=len(packet),
            pkt_data=packet,
            opts=options,
        )
        data = bytearray(bytes(block))
        data[24:28] = (len(packet) + missing_size).to_bytes(4, "little")  # dpkt writes its own pkt_len
        self._write(bytes(data))


class _Conversation:
    """One connection as packets: both addresses, and the sequence number of each side."""

    def __init__(self, event: Connected | Accepted) -> None:
        self._is_client = isinstance(event, Connected)
        self._stream, self._ends, self._stand_in = _ends(event.connection, event.local, event.peer)
        self._sequence = [1, 1]  # TCP's next sequence number of each side
        self._ended = [False, False]
        self._names = f"connection {event.connection}: {event.local} and {event.peer}"

    def begin(self) -> list[tuple[bytes, str]]:
        """The handshake of TCP; empty for a datagram socket."""
        if not self._stream:
            return []
        client = 0 if self._is_client else 1
        self._sequence = [0, 0]
        comment = self._names if self._stand_in else ""
        first = (self._tcp(client, _SYN), comment)
        self._sequence[client] = 1
        second = (self._tcp(1 - client, _SYN | _ACK), "")
        self._sequence[1 - client] = 1
        return [first, second, (self._tcp(client, _ACK), "")]

    def data(self, side: int, data: bytes) -> list[bytes]:
        """The packets of data from one side; a datagram is one packet, cut where it is too long."""
        if not self._stream:
            return [self._udp(side, data)]
        packets = []
        for start in range(0, len(data), SEGMENT_SIZE):
            piece = data[start : start + SEGMENT_SIZE]
            packets.append(self._tcp(side, _PSH | _ACK, piece))
            self._sequence[side] += len(piece)
        return packets

    @property
    def _max_size(self) -> int:
        """Bytes of the longest datagram: IPv4 counts its own header of 20 bytes, IPv6 does not (RFC 8200, 3)."""
        return MAX_LENGTH - 8 - (20 if len(self._ends[0][0]) == 4 else 0)

    def missing_size(self, event: Event) -> int:
        """Bytes of this event's datagram that its packet does not hold."""
        if self._stream or not isinstance(event, Received | Sent):
            return 0
        return max(0, len(event.data) - self._max_size)

    def end(self, side: int) -> list[bytes]:
        """The FIN of one side, once."""
        if not self._stream or self._ended[side]:
            return []
        self._ended[side] = True
        packet = self._tcp(side, _FIN | _ACK)
        self._sequence[side] += 1
        return [packet]

    def close(self, is_lost: bool) -> list[bytes]:
        """The missing FINs and the last ACK; a reset where the connection was lost."""
        if not self._stream:
            return []
        if is_lost:
            return [self._tcp(1, _RST | _ACK)]
        packets = [*self.end(0), *self.end(1)]
        return [*packets, self._tcp(0, _ACK)] if packets else []

    def _tcp(self, side: int, flags: int, data: bytes = b"") -> bytes:
        """A segment of one side: 0 ours, 1 the peer's."""
        sequence, acknowledged = self._sequence[side], self._sequence[1 - side]
        segment = dpkt.tcp.TCP(
            sport=self._ends[side][1],
            dport=self._ends[1 - side][1],
            seq=sequence & 0xFFFFFFFF,
            ack=(acknowledged if flags & _ACK else 0) & 0xFFFFFFFF,
            flags=flags,
            win=65535,
            data=data,
        )
        return self._ip(side, 6, segment)

    def _udp(self, side: int, data: bytes) -> bytes:
        data = data[: self._max_size]
        datagram = dpkt.udp.UDP(sport=self._ends[side][1], dport=self._ends[1 - side][1], data=data)
        datagram.ulen = len(datagram)
        return self._ip(side, 17, datagram)

    def _ip(self, side: int, protocol: int, inside: Any) -> bytes:
        source, target = self._ends[side][0], self._ends[1 - side][0]
        if len(source) == 4:
            packet = dpkt.ip.IP(src=source, dst=target, p=protocol, ttl=64, data=inside)
            packet.len = len(packet)
        else:
            packet = dpkt.ip6.IP6(src=source, dst=target, nxt=protocol, hlim=64, data=inside)
            packet.plen = len(inside)
        return bytes(packet)


_ENCODERS: Final[dict[type[Event], Callable[[_Conversation, Any], list[bytes]]]] = {
    Received: lambda talk, event: talk.data(1, event.data),
    Sent: lambda talk, event: talk.data(0, event.data),
    EndReceived: lambda talk, event: talk.end(1),
    EndSent: lambda talk, event: talk.end(0),
    Closed: lambda talk, event: talk.close(event.error is not None),
}


def _ends(number: int, local: str, peer: str) -> tuple[bool, tuple[tuple[bytes, int], tuple[bytes, int]], bool]:
    """Whether it is a stream, the IP addresses and ports of both ends, and whether these are stand-ins."""
    try:
        ours, theirs = Address.parse(local), Address.parse(peer)
        is_stream = ours.transport.kind not in ("SOCK_DGRAM", "SOCK_RAW")
        ends = (_end(ours), _end(theirs))
    except (AddressError, ValueError):
        is_stream, ends = True, (None, None)
    left, right = ends
    if left is not None and right is not None and len(left[0]) == len(right[0]):
        return is_stream, (left, right), False
    first, second = (ipaddress.ip_address(text).packed for text in STAND_INS)
    return is_stream, ((first, 10_000 + number % 50_000), (second, 1)), True


def _end(address: Address) -> tuple[bytes, int] | None:
    if not address.host or address.port is None:
        return None
    return ipaddress.ip_address(address.host.partition("%")[0]).packed, address.port
