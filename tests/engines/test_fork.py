"""A child of fork(2) has engines of its own: what it closes there, the parent still watches."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from socketkit import connect, engines, listen, serve
from socketkit import pair as connection_pair
from socketkit.engines.engine import READ, Engine
from socketkit.engines.group import Group
from socketkit.engines.pollers import POLLERS
from socketkit.engines.waker import Waker
from socketkit.errors import ClosedError

if not hasattr(os, "fork"):
    pytest.skip("this system has no fork(2)", allow_module_level=True)

Pair = tuple[socket.socket, socket.socket]
FAR = 30


def in_child(work: Callable[[], object]) -> int:
    """Run a function in a child, and return the child's status; one that hangs is ended by SIGALRM."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns where other threads run
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_waker_is_not_shared() -> None:
    """A wake-up in the child does not reach the parent, and the child takes none of the parent's."""
    waker = Waker()
    number = waker.fileno()
    assert in_child(waker.wake) == 0
    assert not waker.clear()
    waker.wake()

    def clear() -> None:
        assert not waker.clear()
        assert waker.fileno() == number
        waker.wake()
        assert waker.clear()
        waker.close()

    assert in_child(clear) == 0
    assert waker.clear()


@pytest.mark.parametrize("name", POLLERS)
def test_poller_is_not_shared(name: str, pair: Pair) -> None:
    """The child watches what the parent watched; taking it off there leaves the parent's list as it was."""
    poller = POLLERS[name]()
    number = pair[0].fileno()
    poller.arm(number, 0, READ)

    def take_off() -> None:
        pair[1].send(b"data")
        assert [descriptor for descriptor, _ in poller.poll(FAR)] == [number]
        poller.arm(number, READ, 0)
        assert poller.poll(0) == []
        poller.close()

    assert in_child(take_off) == 0
    assert [descriptor for descriptor, _ in poller.poll(FAR)] == [number]
    poller.close()


def test_unregister_in_child(engine: Engine, pair: Pair) -> None:
    """A child that closes a descriptor of a running engine leaves the parent's wait as it was."""
    number = pair[0].fileno()

    def unregister() -> None:
        engine.unregister(number)
        pair[0].close()

    async def wait() -> None:
        await engine.wait(number, READ, engine.now() + FAR)
        pair[0].recv(9)

    async def main() -> None:
        pair[1].send(b"data")
        await wait()
        assert in_child(unregister) == 0
        async with Group(engine) as group:
            group.start(wait())
            await engine.sleep(0.001)
            pair[1].send(b"data")

    engine.run(main())


@pytest.mark.parametrize("name", [*POLLERS, "blocking"])
def test_new_engine_runs_in_child(name: str) -> None:
    """An engine that was made before the fork, and not run, runs in the child and in the parent."""
    engine = engines.make(name)

    async def main() -> None:
        done = engine.event()
        await engine.run_in_thread(lambda: engine.from_thread(done.set))
        await done.wait(deadline=engine.now() + FAR)

    assert in_child(lambda: engine.run(main())) == 0
    engine.run(main())


def plain_echo(connection):  # type: ignore[no-untyped-def]
    for message in connection:
        connection.send(message)


async def async_echo(connection):  # type: ignore[no-untyped-def]
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_child_leaves_the_block(engine_name: str, kind: str) -> None:
    """The child ends at once, and the parent's server goes on: its socket and its file are the parent's."""
    with tempfile.TemporaryDirectory() as folder:
        address = "tcp://127.0.0.1:0" if kind == "tcp" else f"unix://{folder}/s"
        handler = plain_echo if engine_name == "blocking" else async_echo
        with serve(handler, address, engine=engine_name) as server:

            def leave() -> None:
                with pytest.raises(ClosedError, match=rf"process {os.getppid()}: process {os.getpid()}, a child of"):
                    server.suspend()
                server.close()
                server.close()

            assert in_child(leave) == 0
            assert kind == "tcp" or Path(folder, "s").exists()
            with connect(server.addresses[0]) as client:
                client.send(b"data")
                assert client.receive(timeout=FAR) == b"data"


@pytest.mark.parametrize("end", ["close", "abort", "exit"])
@pytest.mark.parametrize("kind", ["tcp", "pair"])
def test_child_closes_a_copy(kind: str, end: str) -> None:
    """A child that ends the parent's connection closes its copy of the descriptor only."""
    with contextlib.ExitStack() as stack:
        if kind == "pair":
            left, right = stack.enter_context(connection_pair())
        else:
            server = stack.enter_context(listen("tcp://127.0.0.1:0"))
            left = stack.enter_context(connect(server.addresses[0]))
            right = stack.enter_context(server.accept(timeout=FAR))

        def leave() -> None:
            left.__exit__(None, None, None) if end == "exit" else getattr(left, end)()

        assert in_child(leave) == 0
        left.send(b"data")
        assert right.receive(timeout=FAR) == b"data"


@pytest.mark.parametrize("end", ["close", "abort", "exit", "error"])
@pytest.mark.parametrize("is_secure", [False, True], ids=["tcp", "tls"])
def test_child_leaves_async_with(engine: Engine, is_secure: bool, end: str) -> None:
    """A child that leaves `async with connect(...)` sends nothing and shuts nothing down."""
    if is_secure:
        pytest.importorskip("cryptography")
    address = "tls://127.0.0.1:0?self_signed=yes" if is_secure else "tcp://127.0.0.1:0"

    async def main() -> None:
        async with (
            serve(async_echo, address, engine=engine) as server,
            connect(server.addresses[0], engine=engine, **({"verify": False} if is_secure else {})) as client,
        ):
            await client.send(b"first")
            assert await client.receive(timeout=FAR) == b"first"

            def leave() -> None:
                error = OSError() if end == "error" else None
                verb = client.__aexit__(None, error, None) if end in ("exit", "error") else getattr(client, end)()
                if verb is not None:
                    with pytest.raises(StopIteration):
                        verb.send(None)
                assert client.is_closed
                with pytest.raises(ClosedError):
                    client.send(b"of the child")

            assert in_child(leave) == 0
            await client.send(b"second")
            assert await client.receive(timeout=FAR) == b"second"

    engine.run(main())


def test_child_sends_nothing_unsent() -> None:
    """What stood unsent at the fork leaves once, from the parent."""
    engine = engines.make(next(iter(POLLERS)))

    async def main() -> None:
        async with connection_pair() as (left, right):
            left.send(b"once")

            def close() -> None:
                with pytest.raises(StopIteration):
                    left.close().send(None)

            assert in_child(close) == 0
            await left.flush()
            await left.send_eof()
            assert [data async for data in right] == [b"once"]

    engine.run(main())


def test_child_leaves_the_loop() -> None:
    """A child that breaks off `for connection in connect(...)`, leaves the connection to its parent."""
    with serve(plain_echo, "tcp://127.0.0.1:0") as server:
        fresh = iter(connect(server.addresses[0]))
        client = next(fresh)
        assert in_child(fresh.close) == 0  # type: ignore[attr-defined]
        client.send(b"data")
        assert client.receive(timeout=FAR) == b"data"
        fresh.close()  # type: ignore[attr-defined]


def test_child_drops_connections(engine: Engine) -> None:
    """What `async for connection in connect(...)` goes through closes a copy when the child drops it."""

    async def main() -> None:
        async with serve(async_echo, "tcp://127.0.0.1:0", engine=engine) as server:
            fresh = aiter(connect(server.addresses[0], engine=engine))
            client = await anext(fresh)
            assert in_child(fresh.__del__) == 0  # type: ignore[attr-defined]
            await client.send(b"data")
            assert await client.receive(timeout=FAR) == b"data"
            await fresh.aclose()  # type: ignore[attr-defined]

    engine.run(main())


def test_child_waits_for_no_thread() -> None:
    """A group of the blocking engine, and its run, end at once in a child: their threads are the parent's."""
    engine = engines.make("blocking")
    child = 1

    async def main() -> int:
        nonlocal child
        release = engine.event()
        async with Group(engine) as group:
            group.start(release.wait())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child:
                release.set()
            else:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(5)
        return child

    try:
        engine.run(main(), cleanup_timeout=FAR)
    finally:
        if not child:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("framing", ["lines", "json"])
def test_child_cannot_use_it(engine: Engine, framing: str) -> None:
    """A child that sends or receives over a connection of its parent is told so, behind what was received already."""

    async def main() -> None:
        async with connection_pair(engine=engine, framing=framing) as (left, right):
            await right.send_many(["one", "two"])
            await right.flush()
            assert await left.receive() == "one"
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                status = 1
                try:
                    for _ in range(2):
                        with pytest.raises(ClosedError, match=r"opened before fork\(2\)"):
                            while True:
                                await left.receive()
                    with pytest.raises(ClosedError, match=r"opened before fork\(2\)"):
                        while True:
                            await left.send("from the child")
                            await left.flush()
                    left.abort()
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert await left.receive(timeout=FAR) == "two"
            await left.send("from the parent")
            assert await right.receive(timeout=FAR) == "from the parent"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        engine.run(main())


def test_child_cannot_use_it_in_plain_code() -> None:
    with connection_pair(framing="lines") as (left, right):

        def work() -> None:
            with pytest.raises(ClosedError, match=r"opened before fork\(2\)"):
                left.receive(timeout=FAR)
            with pytest.raises(ClosedError, match=r"opened before fork\(2\)"):
                left.send("from the child")
            left.abort()  # closes the child's copy alone

        assert in_child(work) == 0
        left.send("from the parent")
        assert right.receive(timeout=FAR) == "from the parent"
        right.send("once")
        assert left.receive(timeout=FAR) == "once"
