"""The telling cases of the Autobahn testsuite, over a socket, against our server and our client.

The numbers are those of the suite. The whole suite is `make autobahn`.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from socketkit import Address, SocketkitError, connect, serve
from socketkit.websocket.frames import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT
from support.connections import PATIENCE
from support.websockets import Peer, client_of, dial, read_head, request, server_to

OFFER = "permessage-deflate; client_max_window_bits"
RSV2, RSV3 = 0x20, 0x10
MAX_SIZE = 100_000

Frame = tuple[int, bytes]


def close(code: int, reason: str = "") -> Frame:
    return FIN | CLOSE, code.to_bytes(2, "big") + reason.encode()


async def echo(connection) -> None:
    async for message in connection:
        await connection.send(message)


def walk(port: int) -> None:
    """Our client, which echoes as well."""
    try:
        with connect(f"ws://127.0.0.1:{port}/", max_size=MAX_SIZE) as connection:
            for message in connection:
                connection.send(message)
    except SocketkitError:
        pass  # the peer's mistakes are errors here; what it was answered is tested


@pytest.fixture(scope="module")
def server_port() -> Iterator[int]:
    with serve(echo, "ws://127.0.0.1:0/", engine="poll", max_size=MAX_SIZE) as server:
        yield server.addresses[0].port


@contextmanager
def peer_of(side: str, port: int, extension: str | None = None) -> Iterator[Peer]:
    """The other end of our server, or of our client."""
    if side == "server":
        with client_of(Address("ws", "127.0.0.1", port), sec_websocket_extensions=extension) as peer:
            yield peer
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        client = threading.Thread(target=walk, args=(listener.getsockname()[1],))
        client.start()
        with listener.accept()[0] as sock:
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            agreed = () if extension is None else ("Sec-WebSocket-Extensions: permessage-deflate",)
            yield server_to(sock, *agreed)
        client.join(PATIENCE)


@pytest.fixture(params=["server", "client"])
def peer(request, server_port) -> Iterator[Peer]:
    with peer_of(request.param, server_port) as made:
        yield made


def closes_with(peer: Peer, code: int) -> None:
    """It answers with this close code, and ends the connection once the close frame was answered."""
    first, payload = peer.receive()
    assert (first, int.from_bytes(payload[:2], "big")) == (FIN | CLOSE, code)
    peer.send(FIN | CLOSE, payload[:2])
    ends(peer)


def ends(peer: Peer) -> None:
    """The connection ends, and nothing comes before that. A server ends it first (7.1.1), a client waits for us."""
    with contextlib.suppress(OSError):
        peer.sock.shutdown(socket.SHUT_WR)
    assert peer.at_end()


SIZES = [0, 125, 126, 127, 128, 65535, 65536, MAX_SIZE]
ECHOED: dict[str, tuple[list[Frame], list[Frame]]] = {
    "2.4 ping of 125 bytes": ([(FIN | PING, b"\xfe" * 125)], [(FIN | PONG, b"\xfe" * 125)]),
    "2.9 unasked pong, then ping": ([(FIN | PONG, b"unasked"), (FIN | PING, b"x")], [(FIN | PONG, b"x")]),
    "2.10 ten pings": (
        [(FIN | PING, b"%d" % number) for number in range(10)],
        [(FIN | PONG, b"%d" % number) for number in range(10)],
    ),
    "5.6 ping between fragments": (
        [(TEXT, b"frag1"), (FIN | PING, b"p"), (FIN | CONTINUATION, b"frag2")],
        [(FIN | PONG, b"p"), (FIN | TEXT, b"frag1frag2")],
    ),
    "5.19 pings between five fragments": (
        [
            (TEXT, b"1"), (CONTINUATION, b"2"), (FIN | PING, b"a"), (CONTINUATION, b"3"),
            (CONTINUATION, b"4"), (FIN | PING, b"b"), (FIN | CONTINUATION, b"5"),
        ],
        [(FIN | PONG, b"a"), (FIN | PONG, b"b"), (FIN | TEXT, b"12345")],
    ),
    "6.1.2 empty fragments": (
        [(TEXT, b""), (CONTINUATION, b""), (FIN | CONTINUATION, b"")],
        [(FIN | TEXT, b"")],
    ),
    "6.2.3 a character cut between fragments": (
        [(TEXT, b"\xce"), (CONTINUATION, b"\xba"), (CONTINUATION, b"\xcf\x8c\xcf"), (FIN | CONTINUATION, b"\x83")],
        [(FIN | TEXT, "κόσ".encode())],
    ),
    "6.7 the characters that are no characters": (
        [(FIN | TEXT, "\ufffe\uffff\U0010ffff\0".encode())],
        [(FIN | TEXT, "\ufffe\uffff\U0010ffff\0".encode())],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ECHOED)
def test_good_frames_are_answered(peer: Peer, case: str) -> None:
    """In one piece, then byte by byte."""
    sent, expected = ECHOED[case]
    wire = b"".join(peer.frame(*frame) for frame in sent)
    peer.sock.sendall(wire)
    assert [peer.receive() for _ in expected] == expected
    for at in range(len(wire)):
        peer.sock.sendall(wire[at : at + 1])
    assert [peer.receive() for _ in expected] == expected
    peer.send(*close(1000))
    assert peer.receive() == close(1000)


def test_sizes(peer: Peer) -> None:
    """1.1 and 1.2: every form of the length, text and binary, up to the limit."""
    for size in SIZES:
        for opcode in (TEXT, BINARY):
            peer.send(FIN | opcode, b"*" * size)
            assert peer.receive() == (FIN | opcode, b"*" * size)
    peer.send(FIN | BINARY, b"*" * (MAX_SIZE + 1))
    closes_with(peer, 1009)


BAD: dict[str, tuple[list[Frame], int]] = {
    "2.5 ping of 126 bytes": ([(FIN | PING, bytes(126))], 1002),
    "3.1 RSV3": ([(FIN | RSV3 | TEXT, b"x")], 1002),
    "3.3 RSV2": ([(FIN | RSV2 | TEXT, b"x")], 1002),
    "3.4 RSV1 without compression": ([(FIN | RSV1 | TEXT, b"x")], 1002),
    "3.6 RSV on a ping": ([(FIN | RSV2 | PING, b"")], 1002),
    "3.7 RSV on a close": ([(FIN | RSV1 | CLOSE, b"\x03\xe8")], 1002),
    "4.1.1 opcode 3": ([(FIN | 3, b"")], 1002),
    "4.1.5 opcode 7": ([(FIN | 7, b"x")], 1002),
    "4.2.1 opcode 11": ([(FIN | 11, b"")], 1002),
    "4.2.5 opcode 15": ([(FIN | 15, b"")], 1002),
    "5.1 fragmented ping": ([(PING, b"a"), (FIN | CONTINUATION, b"b")], 1002),
    "5.9 continuation of nothing": ([(FIN | CONTINUATION, b"x"), (FIN | TEXT, b"y")], 1002),
    "5.12 first fragment is a continuation": ([(CONTINUATION, b"x"), (FIN | TEXT, b"y")], 1002),
    "5.18 two first fragments": ([(TEXT, b"a"), (FIN | TEXT, b"b")], 1002),
    "6.3.1 invalid UTF-8": ([(FIN | TEXT, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited")], 1007),
    "6.4.1 invalid in the second of three fragments": (
        [(TEXT, b"\xce\xba\xe1\xbd\xb9"), (CONTINUATION, b"\xf4\x90\x80\x80")], 1007
    ),
    "6.6 half a character at the end": ([(FIN | TEXT, b"\xce\xba\xe1\xbd")], 1007),
    "6.10 beyond the last character": ([(FIN | TEXT, b"\xf4\x90\x80\x80")], 1007),
    "6.11 overlong": ([(FIN | TEXT, b"\xc0\xaf")], 1007),
    "6.20 surrogate": ([(FIN | TEXT, b"\xed\xa0\x80")], 1007),
    "7.3.2 close of one byte": ([(FIN | CLOSE, b"\x03")], 1002),
    "7.3.6 close of 126 bytes": ([(FIN | CLOSE, b"\x03\xe8" + bytes(124))], 1002),
    "7.5.1 reason is no UTF-8": ([(FIN | CLOSE, b"\x03\xe8\xce\xba\xe1\xbd")], 1007),
    "10 fragments beyond the limit": (
        [(BINARY, bytes(60_000)), (CONTINUATION, bytes(40_000)), (CONTINUATION, b"x")], 1009
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_frames_are_refused_with_a_code(peer: Peer, case: str) -> None:
    """In one piece behind two good messages, which are answered; what follows the mistake is not."""
    sent, code = BAD[case]
    good = [(FIN | TEXT, b"good"), (FIN | BINARY, b"good too")]
    peer.sock.sendall(b"".join(peer.frame(*frame) for frame in [*good, *sent]))
    assert [peer.receive() for _ in good] == good
    closes_with(peer, code)


def test_invalid_text_is_refused_before_its_frame_has_come(peer: Peer) -> None:
    """6.4.3: a frame that is cut behind the wrong byte is refused at once: its end never comes here."""
    wire = peer.frame(FIN | TEXT, b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80\xce\xba")
    for start, end in ((0, -9), (-9, -5), (-5, -2)):
        peer.sock.sendall(wire[start:end])
    first, payload = peer.receive()
    assert (first, int.from_bytes(payload[:2], "big")) == (FIN | CLOSE, 1007)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_valid_close_codes_are_echoed(peer: Peer, code: int) -> None:
    """7.7"""
    peer.send(*close(code, "до свидания"))
    assert peer.receive() == close(code, "до свидания")
    ends(peer)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_invalid_close_codes_are_1002(peer: Peer, code: int) -> None:
    """7.9, 7.13"""
    peer.send(*close(code))
    closes_with(peer, 1002)


def test_nothing_is_answered_behind_a_close_frame(peer: Peer) -> None:
    """7.1.3 to 7.1.5: a ping, a message and the rest of one behind the close frame."""
    later = [(FIN | PING, b"late"), (FIN | TEXT, b"late"), (FIN | CONTINUATION, b"late")]
    peer.send(TEXT, b"begun")
    peer.sock.sendall(b"".join(peer.frame(*frame) for frame in [close(1000), *later]))
    assert peer.receive() == close(1000)
    ends(peer)


@pytest.mark.parametrize("side", ["server", "client"])
def test_compressed_messages_are_answered_compressed(side: str, server_port: int) -> None:
    """12.1: one frame, then fragments with a ping between them; the windows are kept across messages."""
    packer, unpacker = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
    with peer_of(side, server_port, OFFER) as peer:
        for size in (1000, 30_000, MAX_SIZE):
            message = (b'{"key": "value %d"}' % size) * (size // 24)
            packed = (packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
            middle = len(packed) // 2
            peer.send(RSV1 | TEXT, packed[:middle])
            peer.send(FIN | PING, b"between")
            peer.send(FIN | CONTINUATION, packed[middle:])
            assert peer.receive() == (FIN | PONG, b"between")
            first, payload = peer.receive()
            assert first == FIN | RSV1 | TEXT
            assert unpacker.decompress(payload + b"\0\0\xff\xff") == message
            assert len(payload) < len(message)
        bomb = zlib.compressobj(wbits=-15)
        packed = (bomb.compress(bytes(MAX_SIZE + 1)) + bomb.flush(zlib.Z_SYNC_FLUSH))[:-4]
        peer.send(FIN | RSV1 | BINARY, packed)
        closes_with(peer, 1009)


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        (OFFER, "permessage-deflate"),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"),
        (f"{OFFER}; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"),
        (f"{OFFER}=9; server_max_window_bits=15", "permessage-deflate; client_max_window_bits=9"),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; nonsense", None),
    ],
)
def test_compression_parameters(offer: str, answer: str | None, server_port: int) -> None:
    """13: what the server answers, and that it keeps to it: a window of 2^bits bytes, kept from message to message."""
    message = random.Random(7).randbytes(600).hex().encode() * 3
    with dial(Address("ws", "127.0.0.1", server_port)) as sock:
        sock.sendall(request(sec_websocket_extensions=offer))
        lines = read_head(sock).splitlines()
        said = [line.partition(": ")[2] for line in lines if line.lower().startswith("sec-websocket-extensions")]
        assert said == ([] if answer is None else [answer])
        peer = Peer(sock, is_client=True)
        unpacker = zlib.decompressobj(wbits=-9 if answer is not None and "server_max_window_bits=9" in answer else -15)
        sizes = []
        for _ in range(2):
            peer.send(FIN | TEXT, message)
            first, payload = peer.receive()
            sizes.append(len(payload))
            assert first == FIN | TEXT | (RSV1 if answer is not None else 0)
            if answer is not None:
                if "server_no_context_takeover" in answer:
                    unpacker = zlib.decompressobj(wbits=-15)
                payload = unpacker.decompress(payload + b"\0\0\xff\xff")
            assert payload == message
        forgets = answer is None or "no_context" in answer or "server_max_window_bits=9" in answer
        assert (sizes[1] < sizes[0] / 2) is not forgets
