"""Dialling: every candidate is tried within one time, and an error names each with what came of it."""

from __future__ import annotations

import errno
import socket
import threading

import pytest

from socketkit import Address, connect, listen
from socketkit.errors import AddressError, BusyError, ConnectError, DeadlineError, OptionError, ResolveError
from socketkit.events import Connected, Connecting, Failed, Resolved
from support.recorder import Recorder
from support.streams import open_descriptors, reset


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def closed_port():
    """A port that nobody listens at, and that nobody gets meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def dialled(engine, address, talk=None, **options):
    """Dial in the engine, and say what `talk` makes of the connection."""

    async def main():
        async with connect(address, engine=engine, **options) as connection:
            return await talk(connection) if talk else None

    return engine.run(main())


def port(sock):
    return sock.getsockname()[1]


def test_connect_and_events(engine, listener):
    """A listener is connected to and the story reported."""
    recorder, address = Recorder(), f"tcp://127.0.0.1:{port(listener)}"

    async def talk(connection):
        await connection.send(b"hello")
        await connection.flush()
        far, name = listener.accept()
        with far:
            assert far.recv(10) == b"hello"
            assert connection.local == Address.from_socket_name(far.family, far.type, name)
        assert str(connection.peer) == address
        return connection.number

    number = dialled(engine, address, talk, observer=recorder)
    assert recorder.names()[:4] == ["Resolved", "Connecting", "Connected", "Sent"]
    assert recorder.events[:2] == [Resolved(address, (address,)), Connecting(address, address)]
    assert recorder.of(Connected)[0].connection == number
    assert recorder.names().count("Closed") == 1


def test_over_a_path(engine, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        async def talk(connection):
            far, _ = listener.accept()
            far.close()
            assert str(connection.peer) == f"unix://{path}"

        dialled(engine, str(path), talk)


def test_refused_names_address_and_reason(engine, closed_port):
    """A refusal names the address and the reason."""
    recorder, address = Recorder(), f"tcp://127.0.0.1:{closed_port}"
    with pytest.raises(ConnectError) as caught:
        dialled(engine, address, observer=recorder)
    error = caught.value
    assert str(error) == f"cannot connect to {address}: Connection refused (ECONNREFUSED): nobody listens there"
    assert (error.errno, error.address) == (errno.ECONNREFUSED, address)
    assert [(each.address, each.errno) for each in error.attempts] == [(address, errno.ECONNREFUSED)]
    assert recorder.names() == ["Resolved", "Connecting", "Failed"]
    assert isinstance(recorder.of(Failed)[0].error, ConnectionRefusedError)


def test_a_refusal_leaves_no_descriptor(engine, closed_port):
    async def main():
        counts = []
        for _ in range(3):
            with pytest.raises(ConnectError):
                await connect(f"tcp://127.0.0.1:{closed_port}", engine=engine)
            counts.append(len(open_descriptors()))
        assert counts[-1] <= counts[0]

    engine.run(main())


def test_every_address_tried_and_named(engine, closed_port):
    """Of a name every address is tried and named."""
    with pytest.raises(ConnectError) as caught:
        dialled(engine, f"tcp://localhost:{closed_port}")
    error = caught.value
    assert error.attempts
    assert all(each.errno in (errno.ECONNREFUSED, errno.EADDRNOTAVAIL) for each in error.attempts)
    for each in error.attempts:
        assert str(each) in str(error)


def test_second_address_after_first_fails(engine, listener):
    """`localhost` is ::1 first on most machines, and the listener has IPv4 alone."""

    async def talk(connection):
        return str(connection.peer)

    assert dialled(engine, f"tcp://localhost:{port(listener)}", talk) == f"tcp://127.0.0.1:{port(listener)}"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory (ENOENT): there is no such file"),
        (lambda path: path.write_text("x"), "Connection refused (ECONNREFUSED): nobody listens there"),
    ],
    ids=["no file", "a regular file"],
)
def test_a_path_where_nobody_is(engine, tmp_path, make, reason):
    path = tmp_path / "s"
    make(path)
    with pytest.raises(ConnectError) as caught:
        dialled(engine, f"unix://{path}")
    assert str(caught.value) == f"cannot connect to unix://{path}: {reason}"


def test_wrong_socket_type_is_named(engine, tmp_path):
    """A socket of another kind is said to be one."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(ConnectError, match=r"EPROTOTYPE.*the file is a socket of another kind"):
            dialled(engine, f"unix://{path}")


@pytest.fixture
def silent():
    """A listener that answers nobody any more: its queue is full, and Linux drops further SYNs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        guests = []
        for _ in range(4):
            guest = socket.socket()
            guest.setblocking(False)
            guest.connect_ex(listener.getsockname())
            guests.append(guest)
        yield listener
        for guest in guests:
            guest.close()


def test_silence_has_so_much_time(engine, silent):
    address = f"tcp://127.0.0.1:{port(silent)}"
    with pytest.raises(DeadlineError) as caught:
        dialled(engine, address, connect_timeout=0.05)
    assert str(caught.value) == (
        f"cannot connect to {address}: no answer within 0.05 s (connect_timeout): {address}: no answer in time"
    )
    assert [each.address for each in caught.value.attempts] == [address]


def test_cancelled_connect_leaks_nothing(engine, silent):
    """A cancelled dial leaves no descriptor."""
    from support.running import Running, turns

    async def main():
        await engine.sleep(0)
        before = open_descriptors()

        async def dial():
            async with connect(f"tcp://127.0.0.1:{port(silent)}", engine=engine):
                raise AssertionError("it answered")

        running = Running(engine, dial())
        await turns(engine)
        running.cancel()
        assert isinstance(await running.outcome(), engine.cancelled)
        if not engine.blocks:  # a thread that has ended gives its own back a moment later
            assert open_descriptors() <= before

    engine.run(main())


def test_a_full_unix_queue_is_waited_for(engine, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            first.connect(path)
            second.setblocking(False)
            second.connect_ex(path)
            with pytest.raises(DeadlineError):
                dialled(engine, path, connect_timeout=0.05)


def test_bad_arguments_before_opening():
    """What is wrong is reported before anything is opened."""
    with pytest.raises(AddressError):
        connect("tcp://localhost")
    with pytest.raises(OptionError, match=r"unknown option 'no_delay' \(did you mean nodelay\?\)"):
        connect("tcp://localhost:1", no_delay=True)
    with pytest.raises(OptionError):
        connect("tcp://localhost:1", framing="nonsense")
    with pytest.raises(AddressError):
        connect("tcp://localhost:1?connect_timeout=2parsecs")


def test_keywords_overrule_the_address(listener):
    with connect(f"tcp://127.0.0.1:{port(listener)}?nodelay=no&framing=lines", nodelay=True) as connection:
        assert connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.send("a line")
        far, _ = listener.accept()
        with far:
            assert far.recv(10) == b"a line\n"
    with connect(f"tcp://127.0.0.1:{port(listener)}?nodelay=no&keepalive=no") as connection:
        assert not connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        reset(listener.accept()[0])


def test_an_unknown_name_is_a_resolve_error():
    with pytest.raises(ResolveError, match=r"the name 'no-such-host.invalid' was not resolved"):
        connect("tcp://no-such-host.invalid:1").open()


def test_blocking_connect_in_async_refused(listener):
    """Plain code inside a running engine is refused."""
    import asyncio

    async def main():
        with pytest.raises(BusyError, match="use `async with`"):
            connect(f"tcp://127.0.0.1:{port(listener)}").open()

    asyncio.run(main())


def test_async_connect_without_engine(listener):
    """Async code without an engine is reported what it needs."""
    opening = connect(f"tcp://127.0.0.1:{port(listener)}").__aenter__()
    with pytest.raises(OptionError, match="needs a running engine"):
        opening.send(None)


def test_context_opens_many_times(listener):
    """A recipe opens as often as one likes."""
    recipe = connect(f"tcp://127.0.0.1:{port(listener)}", framing="lines")
    numbers = set()
    for _ in range(3):
        with recipe as connection:
            numbers.add(connection.number)
            far, _ = listener.accept()
            threading.Thread(target=far.close).start()
            assert list(connection) == []
    assert len(numbers) == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_zero_connect_timeout_looks_once(engine, listener, host):
    """A name has a moment to be resolved, and a peer on this machine to answer."""
    dialled(engine, f"tcp://{host}:{port(listener)}", connect_timeout=0)


def test_zero_connect_timeout_refused(engine, closed_port):
    """Nothing listens there: that is said, and not that the time was over."""
    with pytest.raises(ConnectError, match="nobody listens there"):
        dialled(engine, f"tcp://localhost:{closed_port}", connect_timeout=0)


def test_zero_connect_timeout_of_listener(engine):
    async def main():
        async with listen("tcp://localhost:0", connect_timeout=0) as listener:
            return listener.addresses

    if not engine.blocks:
        assert engine.run(main())
