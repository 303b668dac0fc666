"""TLS from the first call to the last, on every engine: servers that stalled and bad callers cannot hold up, new
certificates under load, and all that a client refuses."""

from __future__ import annotations

import shutil
import socket
import ssl
import time
from contextlib import ExitStack

import pytest

from socketkit import TLS, connect, serve
from socketkit.errors import BrokenError, ConnectError, DeadlineError, HandshakeError, OpenError, OptionError
from socketkit.events import Accepted, CertificatesReloaded, Closed, Connected, Secured, SelfSigned
from support.connections import PATIENCE
from support.recorder import Recorder
from support.running import Running, until
from support.tls import papers

PLACE = "tls://127.0.0.1:0"


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def test_one_life_told_from_both_sides(engine):
    told, heard = Recorder(), Recorder()

    async def main():
        async with serve(echo, PLACE, framing="lines", engine=engine, cert=papers().cert, observer=told) as server:
            async with connect(
                server.addresses[0], framing="lines", engine=engine, ca=papers().ca, observer=heard
            ) as connection:
                await connection.send_many([f"line {number}" for number in range(1000)])
                await connection.send_eof()
                assert [line async for line in connection] == [f"line {number}" for number in range(1000)]
                assert str(connection.peer) == str(server.addresses[0])
            await server.wait_idle(timeout=20)

    engine.run(main())
    assert [len(told.of(kind)) for kind in (Accepted, Secured, Closed)] == [1, 1, 1]
    assert [len(heard.of(kind)) for kind in (Connected, Secured, Closed)] == [1, 1, 1]
    assert told.of(Closed)[0].error is heard.of(Closed)[0].error is None


def test_over_a_unix_socket(engine, tmp_path):
    place = f"tls+unix://{tmp_path}/s"

    async def main():
        async with serve(echo, place, framing="lines", engine=engine, cert=papers().cert) as server:
            assert str(server.addresses[0]) == place
            async with connect(
                place, framing="lines", engine=engine, ca=papers().ca, server_name="localhost"
            ) as connection:
                await connection.send("hello")
                assert await connection.receive() == "hello"
                assert str(connection.peer) == place
            with pytest.raises(OptionError, match="give server_name=NAME"):
                await connect(place, engine=engine, ca=papers().ca)

    engine.run(main())


def test_stalled_handshakes_are_isolated_and_cut(engine):
    """Stalled handshakes hold up no one and are cut. (Two servers: on a busy machine a good one takes long too.)"""
    told = Recorder()

    def serving(**options):
        return serve(echo, PLACE, framing="lines", engine=engine, cert=papers().cert, **options)

    async def main():
        with ExitStack() as stalled:
            async with (
                serving(handshake_timeout=PATIENCE, grace=0) as patient,
                serving(handshake_timeout=0.2, observer=told) as strict,
            ):
                for place in (*patient.addresses * 20, *strict.addresses * 20):
                    stalled.enter_context(socket.create_connection((place.host, place.port)))
                async with connect(patient.addresses[0], framing="lines", engine=engine, ca=papers().ca) as connection:
                    await connection.send("hello")
                    assert await connection.receive() == "hello"
                await until(engine, lambda: len(told.of(Closed)) == 20)
                await strict.wait_idle(timeout=PATIENCE)

    engine.run(main())
    late = [event.error for event in told.of(Closed) if isinstance(event.error, DeadlineError)]
    assert len(late) == 20
    assert all("not done within 200ms (handshake_timeout)" in str(error) for error in late)


def test_certificate_reload_under_load(engine, tmp_path):
    """New certificates under load disturb no one."""
    cert = tmp_path / "cert.pem"
    shutil.copy(papers().cert, cert)
    told = Recorder()

    async def main():
        async with serve(echo, PLACE, framing="lines", engine=engine, cert=str(cert), observer=told) as server:
            place = server.addresses[0]
            is_over = engine.event()

            async def talk():
                async with connect(place, framing="lines", engine=engine, ca=papers().ca) as connection:
                    count = 0
                    while not is_over.is_set() or count < 10:
                        await connection.send("ping")
                        assert await connection.receive() == "ping"
                        count += 1
                    return count

            talks = [Running(engine, talk()) for _ in range(5)]
            await until(engine, lambda: len(told.of(Secured)) == 5)
            cert.write_text("rubbish")
            with pytest.raises(OptionError, match="there is no whole certificate"):
                server.reload_tls()
            async with connect(place, engine=engine, ca=papers().ca):
                pass  # the old one still stands
            shutil.copy(papers().other, cert)
            server.reload_tls()
            with pytest.raises(HandshakeError, match="mismatch, certificate is not valid"):
                await connect(place, engine=engine, ca=papers().ca)
            async with connect(place, engine=engine, ca=papers().ca, server_name="other.example"):
                pass
            is_over.set()
            assert all([await talking.result() >= 10 for talking in talks])

    engine.run(main())
    assert [event.error is None for event in told.of(CertificatesReloaded)] == [False, True]


def test_self_signed_server_by_pin(engine):
    """A server of its own making is known by its pin."""
    told = Recorder()

    async def main():
        async with serve(echo, PLACE, engine=engine, self_signed=True, observer=told) as server:
            assert server.pins == tuple(event.pin for event in told.of(SelfSigned))
            async with connect(server.addresses[0], engine=engine, pin=server.pins[0]) as connection:
                assert connection.tls.peer_pin == server.pins[0]
            with pytest.raises(HandshakeError, match="self-signed certificate"):
                await connect(server.addresses[0], engine=engine)
            async with connect(server.addresses[0], engine=engine, verify=False):
                pass

    engine.run(main())


def test_self_signed_server_by_pin_in_plain_code():
    """Plain code has the pin of its server too."""
    with serve(lambda connection: None, PLACE, self_signed=True) as server:
        with connect(server.addresses[0], pin=server.pins[0]) as connection:
            assert connection.tls.peer_pin == server.pins[0]


def test_refused_client_keeps_server(engine):
    """A client who is refused does not end the server."""
    told = Recorder()
    strict = {"cert": papers().cert, "tls": TLS(ca=papers().ca, require_client_cert=True)}

    async def main():
        async with serve(echo, PLACE, framing="lines", engine=engine, observer=told, **strict) as server:
            place = server.addresses[0]
            with pytest.raises((OpenError, BrokenError)):
                async with connect(place, framing="lines", engine=engine, ca=papers().ca) as connection:
                    await connection.send("let me in")
                    await connection.receive()
            async with connect(
                place, framing="lines", engine=engine, ca=papers().ca, cert=papers().client
            ) as connection:
                await connection.send("and me")
                assert await connection.receive() == "and me"
            await server.wait_idle(timeout=20)
            assert server.statistics().failed_count == 0

    engine.run(main())
    assert isinstance(told.of(Closed)[0].error, HandshakeError)
    assert told.of(Closed)[1].error is None


def test_nobody_there_is_told_as_without_tls(engine):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
        with pytest.raises(ConnectError, match=f"cannot connect to tls://127.0.0.1:{port}: .*ECONNREFUSED"):
            await connect(f"tls://127.0.0.1:{port}", engine=engine)

    engine.run(main())


def test_silent_server_times_out(engine):
    """A server that says nothing is given up in time."""

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
            began = time.monotonic()
            with pytest.raises(DeadlineError, match=f"tls://127.0.0.1:{port}: not done within 100ms"):
                await connect(f"tls://127.0.0.1:{port}", engine=engine, handshake_timeout=0.1)
            assert time.monotonic() - began < 10

    engine.run(main())


def test_stop_ends_handshakes(engine):
    """Stopping a server ends handshakes too."""

    async def main():
        async with serve(echo, PLACE, engine=engine, cert=papers().cert) as server:
            place = server.addresses[0]
            sock = socket.create_connection((place.host, place.port))
            await until(engine, lambda: server.statistics().active_count == 1)
            began = time.monotonic()
            await server.close(grace=0.2)
            assert time.monotonic() - began < 5
            sock.close()

    engine.run(main())


def test_stdlib_ssl_client():
    """In plain code by python's own client."""

    def upper(connection):
        for line in connection:
            connection.send(line.upper())

    with serve(upper, PLACE, framing="lines", cert=papers().cert) as server:
        place = server.addresses[0]
        context = ssl.create_default_context(cafile=papers().ca)
        with socket.create_connection((place.host, place.port)) as sock:
            with context.wrap_socket(sock, server_hostname="localhost") as client:
                client.sendall(b"hello\n")
                assert client.recv(100) == b"HELLO\n"
        server.reload_tls()
