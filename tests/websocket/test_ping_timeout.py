"""A peer that neither reads nor answers is lost after `ping_timeout`, without a wait for its close frame."""

from __future__ import annotations

import re
import threading
from contextlib import suppress

import pytest

from socketkit import BrokenError, connect, engines, listen, serve
from socketkit.engines.group import Group
from socketkit.events import Closed
from support.engines import engine_name  # noqa: F401
from support.recorder import Recorder
from support.websockets import client_of, server_to

ANY = "ws://127.0.0.1:0/chat"
LIMITS = {"ping_interval": 0.05, "ping_timeout": 0.05, "close_timeout": 600, "compression": "none"}
SILENT = r"after a ping \(ping_timeout\)"
TAKES_NOTHING = r"it took nothing for 0.1 s \(ping_interval and ping_timeout\)"


async def receives(connection) -> None:
    await connection.receive()


async def sends(connection) -> None:
    while True:
        await connection.send(b"x" * 100_000)


async def does_both(connection) -> None:
    async with Group(connection.engine) as group:
        group.start(quietly(sends, connection))
        await receives(connection)


async def quietly(work, connection) -> None:
    with suppress(BrokenError):
        await work(connection)


def receives_plainly(connection) -> None:
    connection.receive()


def sends_plainly(connection) -> None:
    while True:
        connection.send(b"x" * 100_000)


def does_both_plainly(connection) -> None:
    def send() -> None:
        with suppress(BrokenError):
            sends_plainly(connection)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        receives_plainly(connection)
    finally:
        thread.join(20)


def check_lost(handler, text: str, **options) -> None:
    """The peer never reads: the handler fails, and the connection is over long before `close_timeout`."""
    recorder = Recorder()
    with serve(handler, ANY, observer=recorder, **LIMITS, **options) as server:
        with client_of(server.addresses[0], "/chat") as peer:
            server.wait_idle(timeout=20)
            with pytest.raises((ConnectionResetError, EOFError)):
                while True:
                    peer.receive()
    (closed,) = recorder.of(Closed)
    assert isinstance(closed.error, BrokenError)
    assert closed.error.close_code == 1006
    assert closed.reason == "lost"
    assert re.search(text, str(closed.error))


@pytest.mark.parametrize(
    ("handler", "text"), [(receives, SILENT), (sends, TAKES_NOTHING), (does_both, f"{SILENT}|{TAKES_NOTHING}")]
)
def test_lost_on_every_engine(engine_name, handler, text) -> None:  # noqa: F811
    if engine_name == "blocking" and handler is does_both:
        pytest.skip("one thread has no two tasks")
    check_lost(handler, text, engine=engine_name)


@pytest.mark.parametrize(
    ("handler", "text"),
    [(receives_plainly, SILENT), (sends_plainly, TAKES_NOTHING), (does_both_plainly, f"{SILENT}|{TAKES_NOTHING}")],
)
def test_lost_in_plain_code(handler, text) -> None:
    check_lost(handler, text)


@pytest.mark.parametrize("engine", ["plain", "asyncio", "trio", "epoll"])
def test_a_silent_server_is_lost_to_its_client(engine) -> None:
    if engine != "plain" and (reason := engines.missing(engine)):
        pytest.skip(reason)
    with listen("tcp://127.0.0.1:0") as listener:
        url = f"ws://127.0.0.1:{listener.addresses[0].port}"
        done = threading.Event()

        def answer() -> None:
            with listener.accept(timeout=20) as connection:
                connection.socket.setblocking(True)
                server_to(connection.socket)
                done.wait(20)

        thread = threading.Thread(target=answer)
        thread.start()

        async def talk() -> None:
            async with connect(url, **LIMITS) as connection:
                await connection.receive()

        try:
            with pytest.raises(BrokenError, match=SILENT):
                if engine != "plain":
                    engines.make(engine).run(talk())
                with connect(url, **LIMITS) as connection:
                    connection.receive()
        finally:
            done.set()
            thread.join(20)
