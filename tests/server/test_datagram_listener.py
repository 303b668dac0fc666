"""A session for each peer: one handler for TCP and UDP, bounded in every direction, and every drop told."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from socketkit import Address, BrokenError, ConnectError, EndOfStream, FramingError, OptionError, connect, listen, serve
from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.events import Accepted, Closed, DatagramDropped, DatagramsOverflowed, Received
from socketkit.server.bind import listen_at
from socketkit.sockets.kernel_drops import kernel_drops
from support.clock import virtual_engine
from support.programs import PATIENCE
from support.recorder import Recorder
from support.running import FAR, until

Handler = Callable[[Connection], Awaitable[None]]


async def echo(connection: Connection) -> None:
    async for message in connection:
        await connection.send(message)


@contextlib.contextmanager
def plain(family: int = socket.AF_INET, name: Any = ("127.0.0.1", 0)) -> Iterator[socket.socket]:
    """A datagram socket of the standard library."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind(name)
        sock.settimeout(20)
        yield sock


def name_of(address: Address) -> tuple[str, int]:
    assert address.port is not None
    return address.host, address.port


def test_tcp_and_udp_on_every_engine(engine_name: str) -> None:
    """One handler serves tcp and udp on every engine."""
    recorder = Recorder()
    with serve(echo, "tcp4://127.0.0.1:0", "udp4://127.0.0.1:0", engine=engine_name, observer=recorder) as server:
        for address in server.addresses:
            with connect(address) as connection:
                for message in (b"one", b"two" * 1000):
                    connection.send(message)
                    assert connection.receive(timeout=FAR) == message
    assert len(recorder.of(Accepted)) == len(recorder.of(Closed)) == 2
    assert {event.connection for event in recorder.of(Accepted)} == {event.connection for event in recorder.of(Closed)}


def test_thread_per_udp_peer() -> None:
    """A plain function has a thread a peer."""

    def shout(connection: Any) -> None:
        for message in connection:
            connection.send(message.upper())

    with (
        serve(shout, "udp4://127.0.0.1:0") as server,
        connect(server.addresses[0]) as one,
        connect(server.addresses[0]) as two,
    ):
        one.send(b"one")
        two.send(b"two")
        assert (two.receive(timeout=FAR), one.receive(timeout=FAR)) == (b"TWO", b"ONE")


def test_each_peer_gets_its_own_answers() -> None:
    async def count(connection: Connection) -> None:
        number = 0
        async for _ in connection:
            number += 1
            await connection.send(b"%d" % number)

    with serve(count, "udp4://127.0.0.1:0", engine="poll") as server, plain() as one, plain() as two:
        there = name_of(server.addresses[0])
        answers = []
        for sock in (one, two, one, one, two):
            sock.sendto(b"?", there)
            answers.append(sock.recv(100))
        assert answers == [b"1", b"1", b"2", b"3", b"2"]


def test_answer_once_handler_gets_all() -> None:
    """What had come for a session that is over begins the next one: nothing is lost between two."""

    async def once(connection: Connection) -> None:
        await connection.send(await connection.receive())

    recorder = Recorder()
    with serve(once, "udp4://127.0.0.1:0", engine="poll", observer=recorder) as server, plain() as sock:
        for number in range(50):
            sock.sendto(b"%d" % number, name_of(server.addresses[0]))
        assert sorted(int(sock.recv(100)) for _ in range(50)) == list(range(50))
    assert len(recorder.of(Accepted)) == len(recorder.of(Closed)) == 50


def test_idle_handler_is_not_restarted() -> None:
    """A handler that takes nothing does not begin again and again."""
    begun = []

    async def refuse(connection: Connection) -> None:
        begun.append(connection.number)

    recorder = Recorder()
    with serve(refuse, "udp4://127.0.0.1:0", engine="poll", observer=recorder) as server, plain() as sock:
        sock.sendto(b"x", name_of(server.addresses[0]))
        while not recorder.of(DatagramDropped):
            pass
        assert len(begun) == 1


def test_framing_error_ends_one_session() -> None:
    """A frame that is cut ends one session and the next datagram begins another."""
    recorder = Recorder()
    with serve(echo, "udp4://127.0.0.1:0", framing="netstring", engine="poll", observer=recorder) as server:
        with plain() as sock:
            for datagram in (b"1:a,", b"5:he", b"llo,", b"1:b,"):
                sock.sendto(datagram, name_of(server.addresses[0]))
            assert (sock.recv(100), sock.recv(100)) == (b"1:a,", b"1:b,")
    assert [type(event.error) for event in recorder.of(Closed)].count(type(None)) <= 1
    assert any(isinstance(event.error, FramingError) for event in recorder.of(Closed))


def test_handler_continues_after_error() -> None:
    """A handler may catch a fault and go on."""

    async def patient(connection: Connection) -> None:
        while True:
            try:
                await connection.send(await connection.receive())
            except FramingError:
                await connection.send(b"what?")

    recorder = Recorder()
    with serve(patient, "udp4://127.0.0.1:0", framing="netstring", engine="poll", observer=recorder) as server:
        with plain() as sock:
            for datagram in (b"1:a,", b"5:he", b"1:b,"):
                sock.sendto(datagram, name_of(server.addresses[0]))
            assert [sock.recv(100) for _ in range(3)] == [b"1:a,", b"5:what?,", b"1:b,"]
        assert len(recorder.of(Accepted)) == 1


@pytest.mark.parametrize(("option", "seconds"), [({}, 60.0), ({"idle_timeout": "5s"}, 5.0)])
def test_idle_session_ends_and_restarts(option: dict[str, object], seconds: float) -> None:
    """A silent peer is ended and begins anew."""
    engine, clock = virtual_engine()
    ended: list[float] = []

    async def handler(connection: Connection) -> None:
        async for message in connection:
            await connection.send(message)
        ended.append(clock())

    async def main() -> None:
        async with serve(handler, "udp4://127.0.0.1:0", engine=engine, **option) as server:
            async with connect(server.addresses[0], engine=engine) as connection:
                await connection.send(b"first")
                assert await connection.receive() == b"first"
                begun = clock()
                await engine.sleep(seconds - 1)
                await connection.send(b"second")
                assert await connection.receive() == b"second"
                await engine.sleep(seconds + 1)
                assert ended == [begun + seconds - 1 + seconds]
                await connection.send(b"third")
                assert await connection.receive() == b"third"
                assert server.statistics().accepted_count == 2

    engine.run(main())


def test_sending_resets_session_idle() -> None:
    """What is sent counts as a sign of life."""
    engine, clock = virtual_engine()

    async def tick(connection: Connection) -> None:
        await connection.receive()
        for _ in range(10):
            await engine.sleep(50)
            await connection.send(b"tick")
        with pytest.raises(EndOfStream):
            await connection.receive()

    async def main() -> None:
        async with serve(tick, "udp4://127.0.0.1:0", engine=engine) as server:
            async with connect(server.addresses[0], engine=engine) as connection:
                await connection.send(b"begin")
                for _ in range(10):
                    assert await connection.receive() == b"tick"
                await server.wait_idle(timeout=100)
                assert clock() == pytest.approx(560, abs=1)
                assert server.statistics().failed_count == 0

    engine.run(main())


def test_session_table_evicts_longest_idle() -> None:
    """The table is bounded and who was silent longest goes."""
    ended: list[str] = []

    async def handler(connection: Connection) -> None:
        async for message in connection:
            await connection.send(message)
        ended.append(str(connection.peer))

    with (
        serve(handler, "udp4://127.0.0.1:0", engine="poll", max_connections=2) as server,
        contextlib.ExitStack() as stack,
    ):
        there = name_of(server.addresses[0])
        socks = [stack.enter_context(plain()) for _ in range(3)]
        for sock in (socks[0], socks[1], socks[0], socks[2]):
            sock.sendto(b"?", there)
            assert sock.recv(100) == b"?"
        assert ended == [f"udp://127.0.0.1:{socks[1].getsockname()[1]}"]


def test_queue_bounded_drops_reported(engine: Engine) -> None:
    """A queue is bounded and each drop is reported."""
    recorder = Recorder()

    async def main() -> None:
        options = Options(max_queued=3)
        [door] = await listen_at(engine, Address.parse("udp4://127.0.0.1:0"), options, observer=recorder)
        with plain() as sock:
            for number in range(6):
                sock.sendto(b"%d" % number, name_of(door.address))
            await until(engine, lambda: len(recorder.of(DatagramDropped)) == 3)
            stream = door.accept_nowait().open()
            assert [await stream.receive() for _ in range(3)] == [b"0", b"1", b"2"]  # the newest were dropped
            assert [(drop.reason, drop.size, drop.count) for drop in recorder.of(DatagramDropped)] == [
                ("its queue is full", 1, 1),
                ("its queue is full", 1, 2),
                ("its queue is full", 1, 3),
            ]
            sock.sendto(b"later", name_of(door.address))
            assert await stream.receive() == b"later"
            stream.close()
            door.close()

    engine.run(main())


def test_unix_datagrams_meet_back_pressure(tmp_path: Path, engine_name: str) -> None:
    """A UNIX datagram server that does not keep up is not read, so the kernel blocks the sender; nothing is dropped."""
    gate, all_received, received, recorder = threading.Event(), threading.Event(), [], Recorder()
    with open("/proc/sys/net/unix/max_dgram_qlen") as limit:  # unix(7)
        total = 2 * Options().max_queued + int(limit.read()) + 100

    async def handler(connection: Connection) -> None:
        await connection.engine.run_in_thread(gate.wait)
        async for message in connection:
            received.append(int(message))
            if len(received) == total:
                all_received.set()

    def send(sock: socket.socket, numbers: range) -> int:
        for number in numbers:
            try:
                sock.send(b"%d" % number)
            except BlockingIOError:
                return number
        return total

    with serve(handler, f"unixgram://{tmp_path}/s", engine=engine_name, observer=recorder):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(f"{tmp_path}/s")
            sock.setblocking(False)
            first = send(sock, range(total))
            sent = send(sock, range(first, total))
            assert sent < total  # it blocks while the handler does not read
            gate.set()
            sock.settimeout(PATIENCE)
            assert send(sock, range(sent, total)) == total
            assert all_received.wait(PATIENCE)
    assert received == list(range(total))
    assert recorder.of(DatagramDropped) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_datagram_from_own_address_is_dropped(engine: Engine, host: str) -> None:
    """A forged source that is the server itself begins no session: an echo would answer itself for ever."""
    recorder = Recorder()

    async def main() -> None:
        [listener] = await listen_at(engine, Address.parse(f"udp4://{host}:0"), Options(), observer=recorder)
        listener.socket.sendto(b"forged", ("127.0.0.1", listener.address.port))
        await until(engine, lambda: bool(recorder.of(DatagramDropped)))
        assert "its source is this socket" in recorder.of(DatagramDropped)[0].reason
        assert listener.pending() == 0
        with plain() as sock:
            sock.sendto(b"x", ("127.0.0.1", listener.address.port))
            await until(engine, lambda: listener.pending() == 1)
        listener.close()

    engine.run(main())


def test_pending_peers_bounded_and_reported() -> None:
    """New peers that no one lets in are bounded and reported."""
    engine, _ = virtual_engine()
    recorder = Recorder()

    async def main() -> None:
        [door] = await listen_at(
            engine, Address.parse("udp4://127.0.0.1:0?backlog=2"), Options(backlog=2), observer=recorder
        )
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(plain()).sendto(b"x", name_of(door.address))
            await until(engine, lambda: bool(recorder.of(DatagramDropped)))
            assert door.pending() == 2
            assert recorder.of(DatagramDropped)[0].reason == "too many new peers wait to be accepted"
        door.close()
        with pytest.raises(BlockingIOError):
            door.accept_nowait()

    engine.run(main())


def test_closed_listener_keeps_sessions() -> None:
    """A closed listener lets no one in and those inside stay."""
    recorder = Recorder()
    with serve(echo, "udp4://127.0.0.1:0", engine="poll", observer=recorder) as server, plain() as one, plain() as two:
        there = name_of(server.addresses[0])
        one.sendto(b"1", there)
        assert one.recv(100) == b"1"
        server.suspend()
        two.sendto(b"2", there)
        one.sendto(b"still", there)
        assert one.recv(100) == b"still"
        assert [drop.reason for drop in recorder.of(DatagramDropped)] == ["the listener is closed"]


@pytest.mark.parametrize("place", ["udp4://127.0.0.1:0", "unixgram://{}/s"])
def test_reopened_listener_keeps_sessions(engine_name: str, place: str, tmp_path: Path) -> None:
    """A listener opened again lets in anew and those inside never noticed."""
    recorder = Recorder()
    with serve(echo, place.format(tmp_path), engine=engine_name, observer=recorder) as server:
        address = server.addresses[0]
        with connect(address, framing="chunks") as inside:
            inside.send(b"1")
            assert inside.receive(timeout=PATIENCE) == b"1"
            for _ in range(2):
                server.suspend()
                server.resume()
            assert server.addresses == (address,)
            with connect(address, framing="chunks") as late:
                late.send(b"2")
                assert late.receive(timeout=PATIENCE) == b"2"
            inside.send(b"3")
            assert inside.receive(timeout=PATIENCE) == b"3"
    assert recorder.names().count("Listening") == recorder.names().count("StoppedListening") == 3


def test_stopped_server_ends_sessions() -> None:
    """A stopped server ends its sessions within the grace."""
    recorder = Recorder()
    with serve(echo, "udp4://127.0.0.1:0", engine="poll", observer=recorder, grace="1s") as server, plain() as sock:
        sock.sendto(b"1", name_of(server.addresses[0]))
        assert sock.recv(100) == b"1"
        server.close()
        assert [event.error for event in recorder.of(Closed)] == [None]


@pytest.mark.parametrize("listening", ["udp4://:0", "udp4://127.0.0.1:0"])
def test_answer_from_asked_address(listening: str) -> None:
    """An answer leaves from the address that was asked."""
    asked: list[str] = []

    async def handler(connection: Connection) -> None:
        asked.append(connection.local.host)
        await echo(connection)

    with serve(handler, listening, engine="poll") as server, plain() as sock:
        port = server.addresses[0].port
        hosts = ["127.0.0.3", "127.0.0.1", "127.0.0.3"] if listening == "udp4://:0" else ["127.0.0.1"]
        for host in hosts:
            sock.sendto(b"?", (host, port))
            assert sock.recvfrom(100) == (b"?", (host, port))
        assert asked == hosts[:2]


def test_ipv6_answer_from_asked_address() -> None:
    """An ipv6 answer leaves from the address that was asked."""
    with contextlib.suppress(OSError), plain(socket.AF_INET6, ("::1", 0)) as sock:
        with serve(echo, "udp6://:0", engine="poll") as server:
            sock.sendto(b"?", ("::1", server.addresses[0].port))
            data, (host, port, _, _) = sock.recvfrom(100)
            assert (data, host, port) == (b"?", "::1", server.addresses[0].port)


def test_name_on_both_families_one_port() -> None:
    """A name is listened at on both families and one port."""
    with serve(echo, "udp://localhost:0", engine="poll") as server:
        assert len({address.port for address in server.addresses}) == 1
        for address in server.addresses:
            with connect(address) as connection:
                connection.send(b"x")
                assert connection.receive(timeout=FAR) == b"x"


def test_no_accidental_port_sharing() -> None:
    """Two servers do not share a port by mistake."""
    with serve(echo, "udp4://127.0.0.1:0", engine="poll") as server:
        with pytest.raises(OSError, match="a listener uses the port"):
            with serve(echo, server.addresses[0], engine="poll"):
                pass


def test_a_listener_accepts_peers_by_hand() -> None:
    with listen("udp4://127.0.0.1:0") as listener, connect(listener.addresses[0]) as client:
        client.send(b"first")
        with listener.accept(timeout=FAR) as connection:
            assert connection.receive(timeout=FAR) == b"first"
            connection.send(b"back")
            assert client.receive(timeout=FAR) == b"back"


def test_unix_datagram_file_removed_replaced(tmp_path: Any) -> None:
    """The file of a unix datagram server is removed and a dead one replaced."""
    path = tmp_path / "server"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
    for _ in range(2):
        with serve(echo, f"unixgram://{path}", engine="poll", mode="600") as server:
            assert path.stat().st_mode & 0o777 == 0o600
            with pytest.raises(OSError, match="another program listens there"):
                serve(echo, f"unixgram://{path}", engine="poll").open()
            with connect(server.addresses[0]) as connection:
                connection.send(b"x")
                assert connection.receive(timeout=FAR) == b"x"
        assert not path.exists()


def test_unnamed_peer_cannot_be_answered(tmp_path: Any) -> None:
    """A peer without a name is received and cannot be answered."""
    errors: list[Exception] = []
    came: list[bytes] = []

    async def handler(connection: Connection) -> None:
        came.append(await connection.receive())
        try:
            await connection.send(b"answer")
            await connection.flush()
        except BrokenError as error:
            errors.append(error)

    recorder = Recorder()
    with serve(handler, f"unixgram://{tmp_path}/s", engine="poll", observer=recorder):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"anonymous", f"{tmp_path}/s")
        while not recorder.of(Closed):
            pass
    assert came == [b"anonymous"]
    assert "unixgram://unnamed" in str(errors[0]) and "no name to be answered at" in str(errors[0])


def test_client_finds_restarted_server(tmp_path: Any) -> None:
    """A client finds a server that was restarted."""
    address = f"unixgram://{tmp_path}/s"
    server = serve(echo, address, engine="poll").open()
    with connect(address) as connection:
        connection.send(b"1")
        assert connection.receive(timeout=FAR) == b"1"
        server.close()
        with pytest.raises(BrokenError, match=r"ECONNREFUSED|ENOENT|ENOTCONN"):
            connection.send(b"nobody")
        with pytest.raises(BrokenError):
            connection.send(b"nobody")
        with serve(echo, address, engine="poll"):
            connection.send(b"2")
            assert connection.receive(timeout=FAR) == b"2"


@pytest.mark.parametrize("abstract", [True, False])
def test_private_name_is_random_and_removed(tmp_path: Any, abstract: bool) -> None:
    """A private name cannot be guessed and leaves nothing."""
    from socketkit.sockets.datagram_setup import bind_private_name

    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as two,
    ):
        removes = [bind_private_name(sock, abstract=abstract) for sock in (one, two)]
        names = [sock.getsockname() for sock in (one, two)]
        assert names[0] != names[1]
        if abstract:
            assert removes == [None, None]
            return
        for name, remove in zip(names, removes, strict=True):
            folder = os.path.dirname(name)
            assert os.stat(folder).st_mode & 0o777 == 0o700
            assert remove is not None
            remove()
            remove()  # harmless twice
            assert not os.path.exists(folder)


def test_refusal_in_next_call() -> None:
    """A refusal is reported by the next call and the connection goes on."""
    with plain() as sock:
        name = sock.getsockname()
    with connect(f"udp4://127.0.0.1:{name[1]}") as connection:
        connection.send(b"nobody")
        with pytest.raises(BrokenError, match="nobody receives there") as caught:
            connection.receive(timeout=FAR)
        assert caught.value.errno is not None
        with plain(name=name) as sock:
            connection.send(b"somebody")
            data, peer = sock.recvfrom(100)
            sock.sendto(data.upper(), peer)
            assert connection.receive(timeout=FAR) == b"SOMEBODY"


def test_send_only_client_gets_refusal() -> None:
    """A sender that never receives is reported too."""
    with plain() as sock:
        name = sock.getsockname()
    with connect(f"udp4://127.0.0.1:{name[1]}") as connection:
        connection.send(b"nobody")
        with pytest.raises(BrokenError, match="an earlier datagram was refused"):
            for _ in range(100):
                connection.send(b"nobody")
        with plain(name=name) as sock, contextlib.suppress(BrokenError):
            connection.send(b"somebody")
            connection.send(b"somebody")
            assert sock.recv(100)


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("ip://127.0.0.1", OptionError, "protocol: a raw socket needs one"),
        ("ip://127.0.0.1?protocol=nonsense", OptionError, "protocol: 'nonsense' is unknown"),
        ("ip://127.0.0.1?protocol=256", OptionError, "from 1 to 255"),
        ("udp4://239.1.2.3:5?interface=nonsense", OptionError, "'nonsense' is no interface of this machine; there are"),
        ("udp4://127.0.0.1:5?interface=lo", OptionError, "is for multicast groups"),
        ("udp4://127.255.255.255:9", ConnectError, "broadcast=yes"),
    ],
)
def test_what_cannot_be_dialled_says_why(address: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        connect(address).open()


def test_multicast_members_answer() -> None:
    """Two programs on one port, one question, two answers."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(serve(echo, "udp4://239.77.1.2:0?interface=lo", engine="poll"))
        port = first.addresses[0].port
        stack.enter_context(serve(echo, f"udp4://239.77.1.2:{port}?interface=127.0.0.1", engine="poll"))
        client = stack.enter_context(connect(f"udp4://239.77.1.2:{port}?interface=lo&ttl=1"))
        assert client.peer == Address.parse(f"udp://239.77.1.2:{port}")
        client.send(b"who is there?")
        assert [client.receive(timeout=FAR) for _ in range(2)] == [b"who is there?"] * 2


def test_multicast_and_broadcast_options() -> None:
    """Hops loop and broadcast are set as said."""
    with connect("udp4://127.0.0.1:9?ttl=3&broadcast=yes") as connection:
        assert connection.socket.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 3
        assert connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
    with connect("udp4://239.77.1.3:9?ttl=3&multicast_loop=no&interface=lo") as connection:
        assert connection.socket.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 3
        assert connection.socket.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP) == 0
    with connect("udp4://239.77.1.3:9?interface=lo") as connection:
        assert connection.socket.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP) == 1


def test_a_group_of_ipv6() -> None:
    try:
        server = serve(echo, "udp6://[ff11::77]:0?interface=lo", engine="poll").open()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 multicast: {error}")
    with contextlib.closing(server), connect(f"udp6://[ff11::77]:{server.addresses[0].port}?interface=lo") as client:
        assert server.addresses[0].host.startswith("ff11::77%")  # a group of a link is one on each interface
        try:
            client.send(b"hello")
        except BrokenError as error:
            pytest.skip(f"the loopback of this machine carries no IPv6 multicast: {error}")
        assert client.receive(timeout=FAR) == b"hello"


def test_receive_many_takes_all_that_queued(engine: Engine) -> None:
    """`receive_many` of a session, and of a client, returns every datagram that has arrived, in order; an observer
    gets each of them."""
    recorder = Recorder()

    async def main() -> None:
        async with listen("udp4://127.0.0.1:0", engine=engine, observer=recorder) as listener:
            async with connect(listener.addresses[0], engine=engine, observer=recorder) as client:
                await client.send_many([b"%d" % number for number in range(20)])
                async with await listener.accept() as session:
                    stream: Any = session.internals.stream
                    await until(engine, lambda: len(stream.queue) == 20)
                    expected = [b"%d" % number for number in range(20)]
                    assert await session.receive_many(timeout=FAR) == expected
                    assert [event.data for event in recorder.of(Received) if event.connection == session.number] == (
                        expected
                    )
                    await session.send_many(expected)
                    await session.flush()
                    assert await client.receive_many(timeout=FAR) == expected

    engine.run(main())


def test_receive_many_ends_before_an_error(engine: Engine) -> None:
    """A wrong datagram ends the list, and the next call raises its error; those behind it follow."""

    async def main() -> None:
        async with listen("udp4://127.0.0.1:0", engine=engine, framing="lines") as listener:
            with plain() as sock:
                for data in (b"one\n", b"two\n\xff\n", b"three\n"):
                    sock.sendto(data, name_of(listener.addresses[0]))
                async with await listener.accept() as session:
                    stream: Any = session.internals.stream
                    await until(engine, lambda: len(stream.queue) == 3)
                    assert await session.receive_many(timeout=FAR) == ["one", "two"]
                    with pytest.raises(FramingError):
                        await session.receive_many(timeout=FAR)
                    assert await session.receive_many(timeout=FAR) == ["three"]

    engine.run(main())


def test_drops_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """`dropped_count` of the statistics has every drop; without an observer the log has one warning."""
    release = threading.Event()

    def handler(connection: Any) -> None:
        release.wait(FAR)

    with serve(handler, "udp4://127.0.0.1:0", max_queued=2) as server, plain() as sock:
        for _ in range(10):
            sock.sendto(b"x", name_of(server.addresses[0]))
        deadline = time.monotonic() + PATIENCE
        while server.statistics().dropped_count < 8:
            assert time.monotonic() < deadline
        assert server.statistics().dropped_count == 8
        release.set()
    warnings = [record for record in caplog.records if "dropping datagrams" in record.getMessage()]
    assert len(warnings) == 1
    assert "its queue is full" in warnings[0].getMessage()


def test_kernel_drops_are_reported_once(engine: Engine) -> None:
    """What the kernel drops is in `kernel_dropped_count`, and one event says how many."""
    recorder = Recorder()

    async def main() -> None:
        options = Options(receive_buffer=4096)
        [listener] = await listen_at(engine, Address.parse("udp4://127.0.0.1:0"), options, observer=recorder)
        with plain() as sock:
            for _ in range(2000):
                sock.sendto(bytes(1000), name_of(listener.address))
        if kernel_drops(listener.socket) is None:  # type: ignore[attr-defined]
            pytest.skip("this system does not count them (SO_MEMINFO)")
        count = listener.kernel_dropped_count
        listener.close()
        assert sum(event.count for event in recorder.of(DatagramsOverflowed)) == listener.kernel_dropped_count == count
        assert count > 0 or engine.blocks  # where a thread receives meanwhile, it may be fast enough

    engine.run(main())


def test_new_unix_peers_wait(tmp_path: Path) -> None:
    """New peers of a UNIX socket are not dropped when too many wait to be accepted: the socket is not read."""
    engine, _ = virtual_engine()
    recorder = Recorder()

    async def main() -> None:
        address = Address.parse(f"unixgram:{tmp_path}/s")
        [listener] = await listen_at(engine, address, Options(backlog=2), observer=recorder)
        with contextlib.ExitStack() as stack:
            for number in range(5):
                sock = stack.enter_context(plain(socket.AF_UNIX, str(tmp_path / f"c{number}")))
                sock.sendto(b"%d" % number, str(tmp_path / "s"))
            got = []
            for _ in range(5):
                await listener.wait_incoming(deadline=engine.now() + FAR)
                assert listener.pending() <= 2
                stream = listener.accept_nowait().open()
                got.append(await stream.receive(deadline=engine.now() + FAR))
                stream.close()
        assert got == [b"0", b"1", b"2", b"3", b"4"]
        assert recorder.of(DatagramDropped) == []
        listener.close()

    engine.run(main())


def test_threads_of_plain_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers that do not return keep a bounded number of threads; further peers are dropped, with a reason."""
    monkeypatch.setattr("socketkit.server.datagram_listener.MAX_PLAIN_SESSIONS", 2)
    release, recorder = threading.Event(), Recorder()

    def handler(connection: Any) -> None:
        release.wait(FAR)

    with serve(handler, "udp4://127.0.0.1:0", observer=recorder) as server, contextlib.ExitStack() as stack:
        for _ in range(9):
            stack.enter_context(plain()).sendto(b"x", name_of(server.addresses[0]))
        deadline = time.monotonic() + PATIENCE
        while len(recorder.of(DatagramDropped)) < 5:
            assert time.monotonic() < deadline
        assert server.statistics().accepted_count <= 4
        assert "have a thread each" in recorder.of(DatagramDropped)[0].reason
        release.set()


def test_threads_of_silent_sessions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that says one thing and no more keeps no thread: its session ends, and its handler with it."""
    monkeypatch.setattr("socketkit.server.datagram_listener.PLAIN_SESSION_TIMEOUT", 0.1)

    def echo(connection: Any) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo, "udp4://127.0.0.1:0") as server, contextlib.ExitStack() as stack:
        before = threading.active_count()
        for _ in range(
            30
        ):  # they stay open: the port of a closed one may be given to the next, which is no new peer then
            sock = stack.enter_context(plain())
            sock.settimeout(PATIENCE)
            sock.sendto(b"once", name_of(server.addresses[0]))
            assert sock.recv(10) == b"once"
        deadline = time.monotonic() + PATIENCE
        while threading.active_count() > before:
            assert time.monotonic() < deadline
            server.wait_idle(timeout=PATIENCE)
        assert server.statistics().accepted_count == 30


def test_silent_plain_session_ends_soon(engine: Engine) -> None:
    """Without `idle_timeout` a session ends after 60 s; where it has a thread, after 5 s."""

    async def main() -> None:
        [listener] = await listen_at(engine, Address.parse("udp4://127.0.0.1:0"), Options())
        with plain() as sock:
            sock.sendto(b"x", name_of(listener.address))
            await listener.wait_incoming(deadline=engine.now() + FAR)
            session = listener.accept_nowait().open()
            end = listener._next_end()  # type: ignore[attr-defined]
            assert end - session.last == pytest.approx(5 if engine.blocks else 60)  # type: ignore[attr-defined]
            session.close()
        listener.close()

    engine.run(main())
