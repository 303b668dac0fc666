"""A conversation that changes over to TLS, on every engine and in plain code: nothing lost, nothing let through."""

from __future__ import annotations

import socket
import ssl

import pytest

from socketkit import TLS, connect, engines, listen, pair, serve
from socketkit.errors import BrokenError, BusyError, ClosedError, EndOfStream, HandshakeError, OptionError
from socketkit.events import Closed, Secured
from support.connections import PATIENCE, talk
from support.recorder import Recorder
from support.running import Running, turns
from support.tls import papers


def server_tls():
    return TLS(cert=papers().cert)


def client_tls(**more):
    return TLS(ca=papers().ca, server_name="localhost", **more)


async def polite(connection):
    """A server that offers STARTTLS, as mail servers do."""
    async for line in connection:
        if line == "STARTTLS":
            await connection.send("go ahead")
            await connection.start_tls(server_tls())
        else:
            await connection.send(f"{'secret' if connection.tls else 'plain'}: {line}")


def test_both_sides_change_over_and_go_on(engine):
    told = Recorder()

    async def main():
        async with serve(polite, "tcp://127.0.0.1:0", framing="lines", engine=engine) as server:
            place = server.addresses[0]
            async with connect(place, framing="lines", engine=engine, observer=told) as connection:
                await connection.send("one")
                assert await connection.receive() == "plain: one"
                await connection.send("STARTTLS")
                assert await connection.receive() == "go ahead"
                assert connection.tls is None
                await connection.start_tls(TLS(ca=papers().ca))
                assert connection.tls.version == "TLSv1.3"
                assert str(connection.peer).startswith("tls://127.0.0.1:")
                await connection.send("two")
                assert await connection.receive() == "secret: two"
                await connection.send_eof()
                with pytest.raises(EndOfStream):
                    await connection.receive()

    engine.run(main())
    assert len(told.of(Secured)) == len(told.of(Closed)) == 1


def test_in_plain_code():
    def handler(connection):
        assert connection.receive() == "STARTTLS"
        connection.send("go ahead")
        connection.start_tls(server_tls())
        connection.send(connection.receive().upper())

    with serve(handler, "tcp://127.0.0.1:0", framing="lines") as server:
        with connect(server.addresses[0], framing="lines", ca=papers().ca) as connection:
            connection.send("STARTTLS")
            assert connection.receive() == "go ahead"
            connection.start_tls()
            connection.send("quietly")
            assert connection.receive() == "QUIETLY"
            assert connection.tls.peer_pin.startswith("sha256:")


def test_early_client_hello_is_kept(engine):
    """Its first TLS bytes may come in one segment with its last line: they belong to the handshake."""

    async def main():
        with talk(engine) as (connection, peer):
            context = ssl.create_default_context(cafile=papers().ca)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            peer.sendall(b"STARTTLS\n" + outgoing.read())
            assert await connection.receive() == "STARTTLS"
            upgrading = Running(engine, connection.start_tls(server_tls()))
            await turns(engine)
            while True:
                incoming.write(peer.recv(1 << 16))
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await turns(engine)
            client.write(b"hello\n")
            peer.sendall(outgoing.read())
            await upgrading.result()
            assert await connection.receive() == "hello"

    if engine.name != "trio":  # a blocking peer in the same thread
        engine.run(main())


def test_plaintext_injection_refused(engine):
    """Somebody on the way has put it there, to be taken for what the server says in secret."""

    async def main():
        with talk(engine) as (connection, peer):
            peer.sendall(b"go ahead\nOK, you are the administrator now\n")
            assert await connection.receive() == "go ahead"
            with pytest.raises(HandshakeError, match=r"came in plain text before it.*refused as an injection"):
                await connection.start_tls(client_tls(), server_side=False)
            with pytest.raises(BrokenError, match="the change to TLS has failed"):
                await connection.send("my password")
            peer.settimeout(0.01)
            with pytest.raises(TimeoutError):  # not a byte of ours
                peer.recv(1)

    engine.run(main())


def test_earlier_sends_stay_plain(engine):
    """What was sent before goes in plain text and first."""

    async def main():
        with talk(engine) as (connection, peer):
            await connection.send("before")
            upgrading = Running(engine, connection.start_tls(client_tls(), server_side=False))
            await turns(engine)
            if engine.blocks:
                peer.settimeout(PATIENCE)
            data = peer.recv(7)
            assert data == b"before\n"
            peer.close()
            assert isinstance(await upgrading.outcome(), (HandshakeError, BrokenError))

    engine.run(main())


def test_start_tls_while_receiving_is_busy(engine):
    """While somebody receives nothing changes."""

    async def main():
        with talk(engine) as (connection, peer):
            receiving = Running(engine, connection.receive())
            await turns(engine)
            with pytest.raises(BusyError, match="one at a time"):
                await connection.start_tls(server_tls())
            peer.sendall(b"still here\n")
            assert await receiving.outcome() == "still here"
            await connection.close()
            with pytest.raises(ClosedError):
                await connection.start_tls(server_tls())

    engine.run(main())


def test_start_tls_after_eof(engine):
    """After the peers end there is no one to agree with."""

    async def main():
        with talk(engine) as (connection, peer):
            peer.shutdown(socket.SHUT_WR)
            with pytest.raises(EndOfStream):
                await connection.receive()
            with pytest.raises(EndOfStream):
                await connection.start_tls(server_tls())

    engine.run(main())


def test_start_tls_needs_a_side_in_a_pair(engine_name):
    """Two ends of a pair say who is the server."""
    engine = engines.make(engine_name)

    async def main():
        async with pair(framing="lines", engine=engine) as (left, right):
            answering = Running(engine, right.start_tls(server_tls()))
            with pytest.raises(OptionError, match="no host whose name"):
                await left.start_tls(TLS(ca=papers().ca), server_side=False)
            await left.start_tls(client_tls(), server_side=False)
            await answering.result()
            await left.send("psst")
            assert await right.receive() == "psst"

    engine.run(main())


def test_tls_listener_accepts(engine):
    """One that speaks plain text is passed over."""

    async def main():
        address = "tls://127.0.0.1:0"
        async with listen(address, framing="lines", engine=engine, cert=papers().cert) as listener:
            place = listener.addresses[0]
            assert place.scheme == "tls"
            with socket.create_connection((place.host, place.port)) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                accepting = Running(engine, listener.accept())
                async with connect(place, framing="lines", engine=engine, ca=papers().ca) as caller:
                    accepted = await accepting.result()
                    await caller.send("hello")
                    assert await accepted.receive() == "hello"
                    await accepted.close()

    engine.run(main())
