"""One port for all families; dead socket files are replaced, live ones refused, foreign ones never touched."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

import pytest

from socketkit import Address, listen
from socketkit.errors import ClosedError, DeadlineError, ListenError, OptionError, ResolveError
from socketkit.events import Accepted, Bound, Listening, StoppedListening
from support.connections import call
from support.recorder import Recorder
from support.running import Running, turns
from support.streams import descriptor_count, open_descriptors, why_not

ANY = "tcp://127.0.0.1:0"


@pytest.fixture
def run(engine):
    def run(main):
        return engine.run(main(engine))

    return run


def test_accepted_has_both_addresses(run):
    """A client is accepted with both addresses."""

    async def main(engine):
        recorder = Recorder()
        async with listen(ANY, framing="lines", engine=engine, observer=recorder) as listener:
            (address,) = listener.addresses
            assert address.port
            with call(address) as caller:
                async with await listener.accept(timeout=20) as connection:
                    assert connection.local == address
                    assert connection.peer == Address.from_socket_name(caller.family, caller.type, caller.getsockname())
                    await connection.send("hello")
                    await connection.flush()
                    assert caller.recv(100) == b"hello\n"
            assert recorder.of(Accepted) == [Accepted(connection.number, str(connection.local), str(connection.peer))]

    run(main)


def test_unix_peer_named_by_path(run, tmp_path):
    """The client of a path is called by the place where we met."""

    async def main(engine):
        path = tmp_path / "s"
        async with listen(f"unix://{path}", engine=engine) as listener:
            with call(listener.addresses[0]):
                async with await listener.accept() as connection:
                    assert str(connection.peer) == str(connection.local) == f"unix://{path}"
                    assert connection.peer_credentials.pid == os.getpid()

    run(main)


def test_both_families_at_one_port(run):
    """Both families are accepted from at one port."""
    if reason := why_not("tcp6"):
        pytest.skip(reason)

    async def main(engine):
        async with listen("tcp://:0", engine=engine) as listener:
            (port,) = {address.port for address in listener.addresses}
            for host in ("127.0.0.1", "::1") * 2:
                with call(Address("tcp", host, port)):
                    async with await listener.accept(timeout=20) as connection:
                        assert connection.local == Address("tcp", host, port)

    run(main)


def test_wildcard_one_port_per_family(run):
    """Every interface is one port of each family."""
    if reason := why_not("tcp6"):
        pytest.skip(reason)

    async def main(engine):
        async with listen("tcp://:0", engine=engine) as listener:
            assert {address.host for address in listener.addresses} == {"0.0.0.0", "::"}
            assert len({address.port for address in listener.addresses}) == 1

    run(main)


def test_who_waits_can_be_counted(run):
    async def main(engine):
        async with listen(ANY, engine=engine) as listener:
            assert listener.pending() == 0
            callers = [call(listener.addresses[0]) for _ in range(3)]
            assert listener.pending() == (3 if hasattr(socket, "TCP_INFO") else 1)
            async with await listener.accept():
                assert listener.pending() == (2 if hasattr(socket, "TCP_INFO") else 1)
            for caller in callers:
                caller.close()

    run(main)


def test_unix_backlog_at_least_one(run, tmp_path):
    """At a path one stands for at least one."""

    async def main(engine):
        async with listen(f"unix://{tmp_path}/s", engine=engine) as listener:
            assert listener.pending() == 0
            with call(listener.addresses[0]), call(listener.addresses[0]):
                assert listener.pending() == 1

    run(main)


def test_nobody_comes_in_time(run):
    async def main(engine):
        async with listen(ANY, engine=engine) as listener:
            with pytest.raises(DeadlineError) as caught:
                await listener.accept(timeout=0.02)
            assert str(caught.value) == f"accepting at {listener.addresses[0]}: no connection within 0.02 s"
            with call(listener.addresses[0]):
                (await listener.accept(timeout=20)).abort()

    run(main)


@pytest.mark.parametrize("place", [ANY, "tcp://:0"], ids=["one door", "two doors"])
def test_a_cancelled_accept_loses_nobody(run, place):
    async def main(engine):
        async with listen(place, engine=engine) as listener:
            loopback = listener.addresses[0].replace(scheme="tcp4", host="127.0.0.1")
            for count in range(6):
                accepting = Running(engine, listener.accept())
                await turns(engine, count)
                with call(loopback):
                    accepting.cancel()
                    outcome = await accepting.outcome()
                    connection = await listener.accept(timeout=20) if isinstance(outcome, BaseException) else outcome
                    connection.abort()

    run(main)


@pytest.mark.parametrize("place", [ANY, "tcp://:0"], ids=["one door", "two doors"])
def test_closing_wakes_whoever_accepts(run, place):
    async def main(engine):
        async with listen(place, engine=engine) as listener:
            accepting = Running(engine, listener.accept())
            await turns(engine)
            listener.close()
            outcome = await accepting.outcome()
            assert isinstance(outcome, ClosedError), outcome
            with pytest.raises(ClosedError, match=r"^the listener at tcp://.* was closed$"):
                await listener.accept()
            listener.close()

    run(main)


def test_connections_outlive_their_listener(run):
    async def main(engine):
        async with listen(ANY, framing="lines", engine=engine) as listener:
            with call(listener.addresses[0]) as caller:
                connection = await listener.accept()
                listener.close()
                caller.sendall(b"still here\n")
                assert await connection.receive() == "still here"
                await connection.close()

    run(main)


def opened(place, **options):
    """Listen in plain code; closed by the caller."""
    return listen(place, **options).open()


def test_the_doors_are_told():
    recorder = Recorder()
    with listen(f"{ANY}?backlog=7", observer=recorder) as listener:
        place = str(listener.addresses[0])
    assert recorder.events[1:] == [Bound(place), Listening(place, 7), StoppedListening(place)]


def test_port_in_use_says_what_to_do():
    """A port in use is refused and the error says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        before = descriptor_count()
        with pytest.raises(ListenError) as caught:
            opened(place)
        assert str(caught.value) == (
            f"cannot listen at {place}: Address already in use (EADDRINUSE); a listener uses the port, or a "
            "connection that is open or was closed a moment ago (see `ss -tuan`): take another port (0: a free one)"
        )
        assert (caught.value.errno, caught.value.address) == (errno.EADDRINUSE, place)
        assert descriptor_count() <= before


def taken_on_ipv6_alone():
    """A listener at [::], on a port that no other test's client has on IPv4: below the range for such ports (ip(7))."""
    for port in range(20000, 32768):
        with contextlib.suppress(OSError):
            with socket.create_server(("0.0.0.0", port)):
                pass
            return socket.create_server(("::", port), family=socket.AF_INET6)
    raise AssertionError("no port is free from 20000 to 32767")


def test_port_taken_in_one_family():
    """A port that is taken in one family is taken."""
    if reason := why_not("tcp6"):
        pytest.skip(reason)
    with taken_on_ipv6_alone() as other:
        place = f"tcp://:{other.getsockname()[1]}"
        before = descriptor_count()
        with pytest.raises(ListenError, match=r"^cannot listen at tcp://:\d+ \(tcp://\[::\]:\d+\): Address"):
            opened(place)
        assert descriptor_count() <= before


def test_foreign_address_refused():
    """An address of another machine is refused."""
    with pytest.raises(ListenError, match=r"EADDRNOTAVAIL\); it is not an address of this machine$"):
        opened("tcp://192.0.2.1:0")


def test_an_unknown_name_is_a_resolve_error():
    with pytest.raises(ResolveError):
        opened("tcp://no-such-host.invalid:0")


def test_rebind_with_old_connections():
    """A port can be listened at again at once though old connections linger."""
    with listen(ANY) as listener:
        place = listener.addresses[0]
        with call(place) as caller:
            listener.accept().close()  # we end first, so the lingering is ours
            assert caller.recv(1) == b""
    with listen(place) as again:
        assert again.addresses == (place,)


def test_reuse_port_when_all_agree():
    """Several may share a port when all say so."""
    with listen(f"{ANY}?reuse_port=yes") as one, listen(one.addresses[0], reuse_port=True) as two:
        assert two.addresses == one.addresses
        with pytest.raises(ListenError):
            opened(one.addresses[0])


def test_async_engine_refused_in_plain_code():
    """An engine that does not block is refused in plain code."""
    with pytest.raises(OptionError):
        opened(ANY, engine="epoll")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s"


def test_a_file_is_made_and_removed(path):
    with listen(f"unix://{path}") as listener:
        assert str(listener.addresses[0]) == f"unix://{path}"
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert not path.exists()


def test_a_dead_file_is_replaced(path):
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    assert path.exists()
    with listen(path.as_posix()) as listener, call(listener.addresses[0]):
        listener.accept().abort()
    assert not path.exists()


def test_live_socket_file_refused(path):
    """A live file is refused and goes on serving."""
    with listen(f"unix://{path}") as first:
        with pytest.raises(ListenError) as caught:
            opened(f"unix://{path}")
        assert str(caught.value) == f"cannot listen at unix://{path}: another program listens there (EADDRINUSE)"
        assert caught.value.errno == errno.EADDRINUSE
        with call(first.addresses[0]):
            first.accept().abort()  # the question of whether it lives, or the caller
            first.accept(timeout=20).abort()


def test_live_socket_file_with_full_backlog(path):
    """A live file whose queue is full is live."""
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as waiting:
        other.bind(str(path))
        other.listen(0)
        waiting.connect(str(path))
        with pytest.raises(ListenError, match="another program listens there"):
            opened(f"unix://{path}")
        assert path.exists()


def test_live_datagram_socket_file(path):
    """A datagram socket that lives is live."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(ListenError, match="another program listens there"):
            opened(f"unix://{path}")


@pytest.mark.parametrize("make", [lambda path: path.write_text("precious"), lambda path: path.mkdir()])
def test_what_is_no_socket_is_left_as_it_is(path, make):
    make(path)
    before = path.stat()
    with pytest.raises(ListenError, match="there is a file already, and it is not a socket; it is left as it is"):
        opened(f"unix://{path}")
    assert path.stat() == before


def test_symlink_not_followed(path, tmp_path):
    """A link is not followed to what it names."""
    (tmp_path / "precious").write_text("x")
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(ListenError, match="it is not a socket"):
        opened(f"unix://{path}")
    assert path.is_symlink()


def test_replaced_socket_file_kept(path):
    """A file that is no longer ours is not removed."""
    listener = opened(f"unix://{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        listener.close()
        assert path.exists()


def test_missing_directory(tmp_path):
    """A folder that is not there is said so."""
    with pytest.raises(ListenError, match=r"ENOENT\); the folder does not exist$"):
        opened(f"unix://{tmp_path}/no/s")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_directory(tmp_path):
    """A folder where we may not write is said so."""
    tmp_path.chmod(0o500)
    with pytest.raises(ListenError, match=r"EACCES\); the folder does not let us create a file$"):
        opened(f"unix://{tmp_path}/s")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_socket_mode_ignores_umask(path, umask):
    """The mode is as reported whatever the umask."""
    before = os.umask(umask)
    try:
        with listen(f"unix://{path}?mode=660"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with listen(f"unix://{path}"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o777 & ~umask
    finally:
        os.umask(before)


@pytest.mark.skipif(not os.path.exists("/proc/net/unix"), reason="abstract names are Linux's")
def test_an_abstract_name_leaves_no_file():
    place = f"unix://@socketkit-test-{os.getpid()}"
    with listen(place) as listener:
        assert str(listener.addresses[0]) == place
        with call(listener.addresses[0]):
            listener.accept().abort()
        with pytest.raises(ListenError, match="Address already in use"):
            opened(place)
    with listen(place):
        pass


def test_nothing_is_left_open(engine, tmp_path):
    async def main():
        counts = []
        for _ in range(3):
            async with listen(f"unix://{tmp_path}/s", engine=engine) as listener:
                with call(listener.addresses[0]):
                    (await listener.accept()).abort()
            await turns(engine)
            counts.append(open_descriptors())
        assert counts[2] <= counts[1]

    engine.run(main())


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
def test_relative_path_removed_elsewhere(tmp_path, monkeypatch, scheme):
    """The file of a relative path is removed by `close` after the working directory has changed."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with listen(f"{scheme}:here.sock"):
        assert (tmp_path / "here.sock").exists()
        monkeypatch.chdir(tmp_path / "other")
    assert not (tmp_path / "here.sock").exists()


def test_port_of_time_wait_gives_no_false_hint():
    """EADDRINUSE by a client's port is not said to be another program that listens."""
    with socket.create_server(("127.0.0.1", 0)) as peer, socket.create_connection(peer.getsockname()) as client:
        with pytest.raises(ListenError, match="EADDRINUSE") as caught:
            opened(f"tcp://127.0.0.1:{client.getsockname()[1]}")
    assert "listens there" not in str(caught.value)
