"""TLS beyond the contract of streams: ends that are told apart, handshakes that are cut, bytes that do not wait."""

from __future__ import annotations

import ssl

import pytest

from contracts.stream_contract import fill, receive_all
from socketkit.config.tls_settings import TLS
from socketkit.errors import BrokenError, DeadlineError, EndOfStream, HandshakeError, RejectedError
from socketkit.streams.memory import memory_pair
from socketkit.tls.context import client_side, server_side
from socketkit.tls.stream import PORTION_SIZE, secure
from support.clock import virtual_engine
from support.running import Running, turns
from support.streams import stream_pair
from support.tls import papers, secured


@pytest.fixture
def run(engine):
    def run(test, **settings):
        async def main():
            left, right = await secured(stream_pair(engine, "tcp4"), **settings)
            try:
                await test(left, right)
            finally:
                left.close()
                right.close()

        engine.run(main())

    return run


def tls12():
    """A client that speaks no TLS 1.3; no setting of ours says so, because nobody should want it."""
    side = client_side(TLS(ca=papers().ca, ciphers="ECDHE+AESGCM"))
    side.context.maximum_version = ssl.TLSVersion.TLSv1_2
    return side


def test_missing_close_notify_is_loss(run):
    """Anybody on the way can make it, to cut a message in two. What came before is received."""

    async def test(left, right):
        left.send_now(b"half a message")
        await left._inner.send_eof()
        assert await right.receive() == b"half a message"
        for _ in range(2):
            with pytest.raises(BrokenError, match="cut: it ended without a close_notify"):
                await right.receive()

    run(test)


def test_close_notify_is_eof(run):
    """A close is an end though the socket stays open."""

    async def test(left, right):
        left.send_now(b"all")
        await left.send_eof()
        assert await receive_all(right) == b"all"
        right.send_now(b"x" * 100_000)
        right.close()
        assert await receive_all(left) == b"x" * 100_000

    run(test)


def test_data_before_close_notify_arrives(run):
    """OpenSSL, asked to say goodbye, looks for the peer's and throws away what stands before it."""

    async def test(left, right):
        right.send_now(b"early words")
        data = await left._inner.receive()
        left._incoming.write(data)  # arrived, and not asked for yet
        await left.send_eof()
        assert await left.receive() == b"early words"
        right.send_now(b"late words")
        assert await left.receive() == b"late words"

    run(test)


def test_tampered_record_is_loss(run):
    """Changed bytes are a loss and those before are received."""

    async def test(left, right):
        left.send_now(b"whole")
        left._conversation.write(b"spoilt")
        record = bytearray(left._outgoing.read())
        record[-1] ^= 1
        left._inner.send_now(bytes(record))
        assert await right.receive() == b"whole"
        with pytest.raises(BrokenError, match="changed in transit"):
            await right.receive()
        with pytest.raises(BrokenError):
            await left.receive()  # it was told by an alert

    run(test)


def test_buffered_data_without_waiting(engine):
    """Many records arrive by one call: the next receive must not wait for a socket that has nothing more."""

    async def main():
        left, right = await secured(memory_pair(engine, size=1 << 20))
        for number in range(100):
            assert left.send_now(b"%d " % number) > 0
        await turns(engine)
        came = b""
        while len(came) < 290:
            came += await right.receive(deadline=engine.now() + 20)
        assert came.split() == [b"%d" % number for number in range(100)]

    engine.run(main())


def test_stalled_peer_bounds_encryption(engine):
    """While the peer does not read little is encrypted."""

    async def main():
        left, _ = await secured(memory_pair(engine, size=16 * 1024))
        taken = fill(left)
        for _ in range(1000):
            assert left.send_now(bytes(100_000)) == 0
        assert left.has_unsent
        assert taken <= 16 * 1024 + PORTION_SIZE
        left.abort()

    engine.run(main())


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, PORTION_SIZE, PORTION_SIZE + 1, 1_000_000])
def test_any_size_arrives(run, size):
    async def test(left, right):
        async def send():
            await left.send(bytes(size))
            await left.send_eof()

        sending = Running(left.engine, send())
        assert await receive_all(right) == bytes(size)
        assert await sending.outcome() is None

    run(test)


def test_a_trickling_peer_gains_no_time():
    """A byte every second for ever: the time counts from the start."""
    engine, clock = virtual_engine()

    async def main():
        left, right = memory_pair(engine)

        async def trickle():
            await left.send(b"\x16\x03\x01\x02\x00")
            while True:
                await engine.sleep(1)
                await left.send(b"\x01")

        trickling = engine.start(trickle())
        with pytest.raises(DeadlineError, match=r"not done within 10s \(handshake_timeout\)"):
            await secure(right, server_side(TLS(cert=papers().cert)), timeout=10)
        trickling.cancel()

    engine.run(main())
    assert clock.moment == 10


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "it sent an HTTP request"),
        (b"hello, is this a plain echo server?\n", "does not speak TLS"),
        (b"\x00" * 64, "does not speak TLS"),
    ],
)
def test_plain_text_is_no_tls(engine, data, told):
    async def main():
        left, right = stream_pair(engine, "tcp4")
        left.send_now(data)
        with pytest.raises(HandshakeError, match=told):
            await secure(right, server_side(TLS(cert=papers().cert)), timeout=20)
        left.close()
        right.close()

    engine.run(main())


def test_peer_lost_during_handshake(engine):
    """A peer that goes away during the handshake is reported."""

    async def main():
        left, right = stream_pair(engine, "tcp4")
        left.close()
        with pytest.raises((HandshakeError, BrokenError)):
            await secure(right, server_side(TLS(cert=papers().cert)), timeout=20)
        right.close()

    engine.run(main())


async def _fails(engine, client, server, name="localhost"):
    """What each side says of a handshake that fails; the server's may come to it later."""
    left, right = stream_pair(engine, "tcp4")

    async def serve():
        stream = await secure(right, server_side(server), timeout=20)
        return await stream.receive()

    serving = Running(engine, serve())
    try:
        near = await secure(left, client_side(client), server_name=name, timeout=20)
        await near.receive()
    except (HandshakeError, BrokenError, EndOfStream) as error:
        ours = error
    left.close()
    theirs = await serving.outcome()
    right.close()
    return ours, theirs


@pytest.mark.parametrize(
    ("cert", "name", "told"),
    [
        ("stranger", "localhost", "unable to get local issuer.*: trust its authority"),
        ("expired", "localhost", "expired: it has expired, or this machine's clock"),
        ("other", "localhost", "Hostname mismatch.*give it .server_name=NAME"),
        ("cert", "127.0.0.2", "IP address mismatch"),
    ],
)
def test_bad_certificate_refused_by_client(engine, cert, name, told):
    """A certificate that is not good is refused by the client."""

    async def main():
        ours, theirs = await _fails(engine, TLS(ca=papers().ca), TLS(cert=getattr(papers(), cert)), name)
        assert isinstance(ours, HandshakeError)
        with pytest.raises(HandshakeError, match=f"TLS handshake with tls://127.0.0.1:.*{told}"):
            raise ours
        assert isinstance(theirs, HandshakeError)
        assert "the peer refused" in str(theirs)

    engine.run(main())


def test_wrong_pin_names_both(engine):
    """Another key than pinned is refused and both are reported."""

    async def main():
        wrong = "sha256:" + "0" * 64
        ours, _ = await _fails(engine, TLS(pin=wrong), TLS(cert=papers().cert))
        assert isinstance(ours, HandshakeError)
        assert wrong in str(ours)
        assert server_side(TLS(cert=papers().cert)).pins[0] in str(ours)

    engine.run(main())


def test_pin_without_authority(run):
    """The right pin is enough without any authority."""
    pin = server_side(TLS(cert=papers().stranger)).pins[0]

    async def test(left, right):
        assert left.tls.peer_pin == pin

    run(test, client=TLS(pin=pin), server=TLS(cert=papers().stranger))


def test_client_certificate_is_required(engine):
    """In TLS 1.3 the client is told by its first read."""
    wants = TLS(cert=papers().cert, ca=papers().ca, require_client_cert=True)

    async def main():
        ours, theirs = await _fails(engine, TLS(ca=papers().ca), wants)
        assert isinstance(ours, RejectedError)
        assert "it requires a certificate of ours (cert=FILE" in str(ours)
        assert isinstance(theirs, HandshakeError)
        assert "showed no certificate" in str(theirs)
        ours, theirs = await _fails(engine, TLS(ca=papers().ca, cert=papers().stranger), wants)
        assert isinstance(ours, RejectedError)
        assert isinstance(theirs, HandshakeError)

    engine.run(main())


def test_client_certificate_is_known(run):
    """A client with a certificate is let in and known."""

    async def test(left, right):
        assert "O=trustme" in right.tls.peer_subject
        assert right.tls.peer_pin is not None
        left.send_now(b"hello")
        assert await right.receive() == b"hello"

    run(
        test,
        client=TLS(ca=papers().ca, cert=papers().client),
        server=TLS(cert=papers().cert, ca=papers().ca, require_client_cert=True),
    )


def test_alpn_agreed_or_refused(engine):
    """Protocols are agreed on and a client insists."""

    async def main():
        left, right = await secured(
            stream_pair(engine, "tcp4"),
            client=TLS(ca=papers().ca, alpn="h3,echo"),
            server=TLS(cert=papers().cert, alpn="echo"),
        )
        assert left.tls.alpn == right.tls.alpn == "echo"
        left.close()
        right.close()
        ours, _ = await _fails(engine, TLS(ca=papers().ca, alpn="h2"), TLS(cert=papers().cert, alpn="echo"))
        assert isinstance(ours, HandshakeError)
        assert "we offered h2" in str(ours)

    engine.run(main())


def test_tls_1_2_half_close(engine):
    """Tls 1 2 ends one direction at a time too."""

    async def main():
        left, right = stream_pair(engine, "tcp4")
        serving = Running(engine, secure(right, server_side(TLS(cert=papers().cert)), timeout=20))
        near = await secure(left, tls12(), server_name="localhost", timeout=20)
        far = await serving.result()
        assert near.tls.version == "TLSv1.2"
        near.send_now(b"question")
        await near.send_eof()
        assert await receive_all(far) == b"question"
        far.send_now(b"answer")
        far.close()
        assert await receive_all(near) == b"answer"
        near.close()

    engine.run(main())
