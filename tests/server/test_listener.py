"""`listen`: the limits and lists of `serve` hold, and handshakes run beside one another. On every engine."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress

import pytest

from socketkit import ClosedError, Connection, DeadlineError, connect, listen, serve
from socketkit.events import Accepted, Closed, Proxied, Refused
from support.clock import virtual_engine
from support.connections import PATIENCE, call, read_all
from support.programs import socketkit
from support.recorder import Recorder
from support.running import Running, turns
from support.tls import papers

ANY = "tcp4://127.0.0.1:0"
PROXIED = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"


def call_from(host, address):
    """A client with this address. Where it is reset while it connects, its first call says so."""
    client = socket.socket()
    client.bind((host, 0))
    client.setblocking(False)
    with suppress(BlockingIOError):
        client.connect((address.host, address.port))
    client.settimeout(PATIENCE)
    return client


def is_reset(client):
    """Whether the peer resets the connection."""
    try:
        return client.recv(1) != b"" and False
    except ConnectionResetError:
        return True


def listening(engine, recorder=None, **options):
    return listen(ANY, framing="lines", engine=engine, observer=recorder, **options)


@pytest.mark.parametrize("lists", [{"deny": "127.0.0.1"}, {"allow": "127.0.0.2"}, {"deny": "::ffff:127.0.0.1"}])
def test_lists_refuse(engine, lists):
    """A denied peer is reset and not returned; the next one that is admitted is."""
    recorder = Recorder()

    async def main():
        async with listening(engine, recorder, **lists) as listener:
            address = listener.addresses[0]
            with call_from("127.0.0.1", address) as denied, call_from("127.0.0.2", address):
                connection = await listener.accept(timeout=PATIENCE)
                assert connection.peer.host == "127.0.0.2"
                assert is_reset(denied)
                await connection.close()

    engine.run(main())
    (refused,) = recorder.of(Refused)
    assert refused.peer.startswith("tcp://127.0.0.1:")
    assert refused.reason in ("its network is denied (deny)", "its network is not allowed (allow)")
    assert len(recorder.of(Accepted)) == 1


def test_lists_refuse_in_plain_code():
    with listening(None, deny="127.0.0.1") as listener:
        address = listener.addresses[0]
        with call_from("127.0.0.1", address) as denied, call_from("127.0.0.2", address):
            with listener.accept(timeout=PATIENCE) as connection:
                assert connection.peer.host == "127.0.0.2"
            assert is_reset(denied)


def test_command_refuses_denied():
    """`socketkit listen --deny` prints nothing that a denied peer sends."""
    with socketkit("listen", ANY, "--deny", "127.0.0.1") as program:
        address = program.address()
        with call_from("127.0.0.1", address) as denied:
            assert is_reset(denied)
        with call_from("127.0.0.2", address) as admitted:
            admitted.sendall(b"admitted\n")
            admitted.shutdown(socket.SHUT_WR)
            assert program.communicate() == b"admitted\n"


def test_limit_per_peer(engine):
    """The second connection of one peer is reset, until the first is closed."""

    async def main():
        async with listening(engine, max_per_peer=1) as listener:
            address = listener.addresses[0]
            with call_from("127.0.0.1", address), call_from("127.0.0.1", address) as second:
                first = await listener.accept(timeout=PATIENCE)
                with call_from("127.0.0.2", address):
                    other = await listener.accept(timeout=PATIENCE)
                assert is_reset(second)
                first.abort()
            with call_from("127.0.0.1", address):
                again = await listener.accept(timeout=PATIENCE)
                assert (other.peer.host, again.peer.host) == ("127.0.0.2", "127.0.0.1")
                again.abort()
                other.abort()

    engine.run(main())


def test_full_listener_waits(engine):
    """With `overload=wait` a connection above `max_connections` stays in the backlog until another is closed."""

    async def main():
        async with listening(engine, max_connections=1) as listener:
            with call(listener.addresses[0]), call(listener.addresses[0]) as second:
                first = await listener.accept(timeout=PATIENCE)
                with pytest.raises(DeadlineError):
                    await listener.accept(timeout=0.01)
                accepting = Running(engine, listener.accept(timeout=PATIENCE))
                await turns(engine)
                assert not accepting.has_ended
                await first.close()
                next_one = await accepting.result()
                assert next_one.peer.port == second.getsockname()[1]
                next_one.abort()

    engine.run(main())


def test_full_listener_rejects(engine):
    """With `overload=reject` it is reset."""
    recorder = Recorder()

    async def main():
        async with listening(engine, recorder, max_connections=1, overload="reject") as listener:
            with call(listener.addresses[0]), call(listener.addresses[0]) as second:
                first = await listener.accept(timeout=PATIENCE)
                accepting = Running(engine, listener.accept(timeout=PATIENCE))
                await turns(engine)
                assert is_reset(second)
                await first.close()
                with call(listener.addresses[0]):
                    (await accepting.result()).abort()

    engine.run(main())
    assert [event.reason for event in recorder.of(Refused)] == ["1 conversations, and max_connections is 1"]


def test_forgotten_connection_leaves(engine):
    """A connection that its owner has neither closed nor kept does not count any more."""

    async def main():
        async with listening(engine, max_connections=1) as listener:
            with call(listener.addresses[0]), call(listener.addresses[0]):
                (await listener.accept(timeout=PATIENCE)).internals.stream.socket.detach()
                import gc

                gc.collect()
                (await listener.accept(timeout=PATIENCE)).abort()

    engine.run(main())


def test_accept_rate(engine):
    """Connections above the rate stay in the backlog for their moment."""

    async def main():
        async with listening(engine, accept_rate=1) as listener:
            with call(listener.addresses[0]), call(listener.addresses[0]):
                (await listener.accept(timeout=PATIENCE)).abort()
                with pytest.raises(DeadlineError):
                    await listener.accept(timeout=0.001)
                (await listener.accept(timeout=PATIENCE)).abort()

    engine.run(main())


def test_proxy_header(engine):
    """`accept_proxy` needs the header; the peer is the client that it names."""

    async def main():
        async with listening(engine, accept_proxy="127.0.0.0/8") as listener:
            with call(listener.addresses[0]) as wrong, call(listener.addresses[0]) as proxy:
                wrong.sendall(b"GET / HTTP/1.0\r\n\r\n")
                proxy.sendall(PROXIED + b"hello\n")
                connection = await listener.accept(timeout=PATIENCE)
                assert str(connection.peer) == "tcp://192.0.2.7:40000"
                assert connection.proxy.port == proxy.getsockname()[1]
                assert await connection.receive() == "hello"
                assert is_reset(wrong)
                await connection.close()

    engine.run(main())


def test_proxied_client_is_judged(engine):
    """`deny` holds for the client that a proxy names, and only listed proxies may connect."""
    recorder = Recorder()

    async def main():
        options = {"accept_proxy": "127.0.0.1", "deny": "192.0.2.0/24"}
        async with listening(engine, recorder, **options) as listener:
            address = listener.addresses[0]
            with call_from("127.0.0.1", address) as denied, call_from("127.0.0.2", address) as stranger:
                denied.sendall(PROXIED)
                with pytest.raises(DeadlineError):
                    await listener.accept(timeout=0.2)
                assert is_reset(denied)
                assert is_reset(stranger)

    engine.run(main())
    assert [event.reason for event in recorder.of(Refused)] == [
        "it is none of the proxies that may call (accept_proxy)"
    ]
    (closed,) = recorder.of(Closed)
    assert "may not come in: its network is denied" in str(closed.error)


def test_silent_client_holds_up_no_other(engine):
    """The handshake of a good client is done while three silent ones have theirs before them."""

    async def main():
        async with listening(engine, cert=papers().cert, tls=True, handshake_timeout=3600) as listener:
            address = listener.addresses[0]
            with ExitStack() as silent:
                for _ in range(3):
                    silent.enter_context(call(address))
                accepting = Running(engine, listener.accept(timeout=PATIENCE))
                async with connect(address, framing="lines", engine=engine, ca=papers().ca) as client:
                    connection = await accepting.result()
                    await client.send("hello")
                    assert await connection.receive() == "hello"
                    await connection.close()

    engine.run(main())


def test_close_resets_handshakes(engine):
    """Closing the listener resets the connections in their handshakes, and ends a waiting `accept`."""
    recorder = Recorder()

    async def main():
        async with listening(engine, recorder, cert=papers().cert, tls=True) as listener:
            with call(listener.addresses[0]) as silent:
                accepting = Running(engine, listener.accept(timeout=PATIENCE))
                while not recorder.of(Accepted):
                    await engine.sleep(0.001)
                listener.close()
                assert isinstance(await accepting.outcome(), ClosedError)
                assert is_reset(silent) or read_all(silent) == b""

    engine.run(main())
    assert len(recorder.of(Closed)) == 1


def test_failed_handshake_is_skipped(engine):
    """A client that speaks no TLS is not returned; the next one is."""
    recorder = Recorder()

    async def main():
        async with listening(engine, recorder, cert=papers().cert, tls=True) as listener:
            address = listener.addresses[0]
            with call(address) as wrong:
                wrong.sendall(b"GET / HTTP/1.0\r\n\r\n")
                accepting = Running(engine, listener.accept(timeout=PATIENCE))
                async with connect(address, framing="lines", engine=engine, ca=papers().ca):
                    await (await accepting.result()).close()

    engine.run(main())
    errors = [event.error for event in recorder.of(Closed)]
    assert sum(error is not None for error in errors) == 1


def test_second_accept_is_reported(engine):
    """A second task that accepts gets its error, over several sockets too, and waits not for ever."""
    if engine.blocks:
        pytest.skip("threads may wait at one socket")

    async def main():
        async with listen("tcp://localhost:0", engine=engine) as listener:
            first = Running(engine, listener.accept())
            await turns(engine)
            second = Running(engine, listener.accept())
            await turns(engine, 10)
            listener.close()
            outcomes = [await first.outcome(), await second.outcome()]
            assert all(isinstance(outcome, Exception) for outcome in outcomes)

    engine.run(main())


@pytest.mark.parametrize("opening", [serve, listen])
def test_one_deadline_for_proxy_and_tls(opening):
    """`handshake_timeout` is spent once: TLS does not get again what the PROXY header has taken. (Exact moments.)"""
    engine, clock = virtual_engine()
    moments = {}

    def observer(event):
        moments.setdefault(type(event), clock())
        if isinstance(event, Closed):
            moments["text"] = str(event.error)

    async def main():
        options = {"accept_proxy": "127.0.0.1", "cert": papers().cert, "tls": True, "handshake_timeout": 10}
        arguments = [ANY] if opening is listen else [Connection.close, ANY]
        async with opening(*arguments, engine=engine, observer=observer, **options) as opened:
            with call(opened.addresses[0]) as proxy:
                accepting = Running(engine, opened.accept() if opening is listen else opened.wait_closed())
                while Accepted not in moments:
                    await engine.sleep(0)
                await engine.sleep(7)
                proxy.sendall(PROXIED)
                while Closed not in moments:
                    await engine.sleep(0.5)
                assert is_reset(proxy)
                accepting.cancel()
                await accepting.outcome()

    engine.run(main())
    assert moments[Proxied] - moments[Accepted] >= 7
    assert moments[Closed] - moments[Accepted] == pytest.approx(10)
    assert "not done within 10s (handshake_timeout)" in moments["text"]
