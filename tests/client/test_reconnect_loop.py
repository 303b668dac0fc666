"""`connect(..., retry=...)` and the loops over it, on real sockets and every engine."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import socketkit
from socketkit import AddressError, BrokenError, BusyError, ConnectError, OptionError, Retry, connect, listen, serve
from socketkit.blocking import BlockingServer
from socketkit.engines.engine import Engine
from socketkit.events import Closed, Connected, ReachableAgain, Retrying, Unreachable
from support.dead_ports import refusing_port
from support.recorder import Recorder
from support.running import FAR, Running, until
from support.streams import open_descriptors

SOON = Retry(first=0.001, maximum=0.002)


@pytest.fixture
def server() -> Iterator[BlockingServer]:
    """Says one line to each caller, and hangs up."""

    def say(connection: Any) -> None:
        connection.send("hello")

    with serve(say, "tcp://127.0.0.1:0", framing="lines") as server:
        yield server


def test_the_name_is_at_the_front_door() -> None:
    assert socketkit.Retry is Retry


def test_a_service_that_comes_later_is_found(engine: Engine, tmp_path: Path) -> None:
    seen = Recorder()
    address = f"unix://{tmp_path}/s"  # whose file is not there yet: that is what is worth another try

    async def main() -> Any:
        task = Running(engine, connect(address, engine=engine, retry=SOON, observer=seen)._open(engine))
        await until(engine, lambda: seen.of(Retrying))
        listener = await listen(address, engine=engine)
        connection = await task.result()
        listener.close()
        await connection.close()

    engine.run(main())
    assert seen.names().count("Connected") == 1


@pytest.mark.parametrize("retry", [2, "2", Retry(attempts=3)], ids=repr)
def test_two_more_tries_are_three(engine: Engine, retry: object) -> None:
    seen = Recorder()
    address = f"tcp://127.0.0.1:{refusing_port()}?retry=0"
    if isinstance(retry, Retry):
        retry = Retry(attempts=retry.attempts, first=0.001)

    async def main() -> None:
        await connect(address, engine=engine, retry=retry, observer=seen)

    with pytest.raises(ConnectError, match=r"\(3 tries in "):
        engine.run(main())
    assert len(seen.of(Retrying)) == 2


def test_plain_code_tries_again_too() -> None:
    seen = Recorder()
    with pytest.raises(ConnectError, match="2 tries"):
        connect(f"tcp://127.0.0.1:{refusing_port()}?retry=1,first=1ms", observer=seen).open()
    assert len(seen.of(Retrying)) == 1


def test_no_retry_by_default() -> None:
    """Without being reported nothing is tried again."""
    seen = Recorder()
    with pytest.raises(ConnectError):
        connect(f"tcp://127.0.0.1:{refusing_port()}", observer=seen).open()
    assert seen.of(Retrying) == []


def test_bad_retry_before_opening() -> None:
    """A wrong retry is refused before anything is opened."""
    with pytest.raises(OptionError, match="retry"):
        connect("tcp://127.0.0.1:1", retry="often")
    with pytest.raises(AddressError, match="retry"):
        connect("tcp://127.0.0.1:1?retry=often")


def test_plain_loop_reconnects(server: BlockingServer) -> None:
    """A plain loop gives a fresh connection after each loss."""
    lines, connections = [], []
    for connection in connect(server.addresses[0], framing="lines", retry=SOON):
        assert all(before.is_closed for before in connections)
        connections.append(connection)
        lines.extend(connection)
        if len(connections) == 3:
            break
    assert lines == ["hello"] * 3
    assert len({connection.number for connection in connections}) == 3
    assert all(connection.is_closed for connection in connections)


def test_async_loop_reconnects(engine: Engine, server: BlockingServer) -> None:
    """An async loop gives a fresh connection after each loss."""
    seen = Recorder()

    async def main() -> list[str]:
        lines: list[str] = []
        connections: list[Any] = []
        recipe = connect(server.addresses[0], framing="lines", retry=SOON, engine=engine, observer=seen)
        async for connection in recipe:
            assert all(before.is_closed for before in connections)
            connections.append(connection)
            async for line in connection:
                lines.append(line)
            if len(connections) == 3:
                break
        await until(engine, lambda: connections[-1].is_closed)  # in the background
        return lines

    assert engine.run(main()) == ["hello"] * 3
    assert len(seen.of(Connected)) == len(seen.of(Closed)) == 3
    assert len(seen.of(Retrying)) == 2


def test_break_at_program_end_closes(engine: Engine, server: BlockingServer) -> None:
    """Leaving an async loop as the last deed of a program closes too."""
    seen = Recorder()

    async def main() -> None:
        async for _ in connect(server.addresses[0], engine=engine, observer=seen):
            break

    engine.run(main())
    assert len(seen.of(Closed)) == 1


def test_error_in_body_closes(engine: Engine, server: BlockingServer) -> None:
    """An error in the body leaves the loop and closes."""
    seen = Recorder()

    async def main() -> None:
        async for _ in connect(server.addresses[0], engine=engine, observer=seen):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.run(main())
    assert len(seen.of(Closed)) == 1

    with pytest.raises(ZeroDivisionError):
        for _ in connect(server.addresses[0], observer=seen):
            raise ZeroDivisionError
    assert len(seen.of(Closed)) == 2


def test_cancelled_body_closes(engine: Engine) -> None:
    """A cancelled body leaves the loop and closes."""
    seen = Recorder()

    async def main() -> None:
        async with listen("tcp://127.0.0.1:0", engine=engine) as listener:

            async def work() -> None:
                async for connection in connect(listener.addresses[0], engine=engine, observer=seen, retry=SOON):
                    await connection.receive()

            task = Running(engine, work())
            await until(engine, lambda: seen.of(Connected))
            task.cancel()
            assert isinstance(await task.outcome(), engine.cancelled)
            await until(engine, lambda: seen.of(Closed))

    engine.run(main())
    assert seen.of(Retrying) == []


def test_after_a_reset_the_body_says_go_on() -> None:
    count = 0
    with socket.create_server(("127.0.0.1", 0)) as rude:
        for connection in connect(f"tcp://127.0.0.1:{rude.getsockname()[1]}", retry=SOON):
            count += 1
            caller, _ = rude.accept()
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            caller.close()
            with pytest.raises(BrokenError):
                connection.receive()
            if count == 3:
                break
            continue
    assert count == 3


def test_loop_retries_for_ever() -> None:
    """A loop without a retry goes on for ever by default."""
    seen = Recorder()
    gone = threading.Event()

    def watch(event: object) -> None:
        seen(event)
        if len(seen.of(Retrying)) == 3:
            gone.set()
            raise StopEverything

    with pytest.raises(StopEverything):
        for _ in connect(f"tcp://127.0.0.1:{refusing_port()}", observer=watch):
            pass
    pauses = [event.seconds for event in seen.of(Retrying)]
    assert [0.05 < pauses[0] <= 0.1, 0.1 < pauses[1] <= 0.2, 0.2 < pauses[2] <= 0.4] == [True] * 3


class StopEverything(BaseException):
    """Ends a test from within."""


def test_each_iteration_is_a_new_row(server: BlockingServer) -> None:
    recipe = connect(server.addresses[0], framing="lines", retry=SOON)
    for _ in range(2):
        for connection in recipe:
            assert connection.receive() == "hello"
            break


def test_plain_loop_in_async_code_refused(engine: Engine) -> None:
    """A plain loop in async code is reported what to do."""
    if engine.blocks:
        pytest.skip("there is nothing to hold up")

    async def main() -> None:
        for _ in connect("tcp://127.0.0.1:1"):
            pass

    with pytest.raises(BusyError, match="async"):
        engine.run(main())


def test_a_hundred_rounds_leave_nothing_open(engine: Engine, server: BlockingServer) -> None:
    async def main() -> int:
        before = len(open_descriptors())
        connections = aiter(connect(server.addresses[0], engine=engine, retry=SOON))
        for _ in range(100):
            async for _ in await anext(connections):
                pass
        await connections.aclose()  # type: ignore[attr-defined]
        return len(open_descriptors()) - before

    assert engine.run(main()) < 10  # what the server and the engine hold at the moment


def test_an_interrupt_ends_a_pause_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seen = Recorder()
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            for _ in connect(f"tcp://127.0.0.1:{refusing_port()}", retry=Retry(first=FAR, maximum=FAR), observer=seen):
                pass
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert len(seen.of(Retrying)) == 1


def _ports_later(address, framing="lines"):
    """A server at a port that refused before."""

    def say(connection):
        connection.send("hello")

    return serve(say, address, framing=framing)


def test_unreachable_is_reported_once(tmp_path: Path) -> None:
    """A loop that cannot connect says so once, however often it tries, and once when it has connected again."""
    address, seen, later = f"unix://{tmp_path}/s", Recorder(), []

    def observe(event: Any) -> None:
        seen(event)
        if len(seen.of(Retrying)) == 5 and not later:
            later.append(_ports_later(address).open())

    for connection in connect(address, framing="lines", retry=Retry(first=0.001, maximum=0.002), observer=observe):
        assert connection.receive(timeout=FAR) == "hello"
        break
    later[0].close()
    (lost,), (back,) = seen.of(Unreachable), seen.of(ReachableAgain)
    assert (lost.address, back.address, back.count) == (address, address, 5)
    assert isinstance(lost.error, ConnectError) and back.seconds > 0
    names = [name for name in seen.names() if name in ("Unreachable", "ReachableAgain", "Connected")]
    assert names == ["Unreachable", "Connected", "ReachableAgain"]


def test_unreachable_is_logged_without_observer(tmp_path: Path, caplog: Any) -> None:
    """Without an observer both are warnings in the log: a loop that waits for ever would be silent else."""
    address, timer = f"unix://{tmp_path}/s", []
    later = threading.Timer(0.1, lambda: timer.append(_ports_later(address).open()))
    later.start()
    for connection in connect(address, framing="lines", retry=Retry(first=0.001, maximum=0.002)):
        assert connection.receive(timeout=FAR) == "hello"
        break
    later.join()
    timer[0].close()
    first, last = [record.getMessage() for record in caplog.records]
    assert address in first and first.endswith("; it is tried again")
    assert last.startswith(f"{address} is reachable again, after ")


def test_single_connection_reports_no_episode(tmp_path: Path, caplog: Any) -> None:
    """Opening with retries raises its error: nothing is logged besides."""
    with pytest.raises(ConnectError):
        connect(f"unix://{tmp_path}/s", retry=Retry(attempts=3, first=0.001, maximum=0.002)).open()
    assert caplog.records == []
