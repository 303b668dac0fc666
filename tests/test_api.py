"""The front doors open either way, choose the engine that runs, and are light to import."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys

import pytest

import socketkit
from socketkit import (
    AddressError,
    BlockingConnection,
    BrokenError,
    BusyError,
    Connection,
    EndOfStream,
    OptionError,
    connect,
    engines,
    listen,
    pair,
    serve,
)
from socketkit.events import Connected, HandlerFailed
from support.connections import ask, call
from support.recorder import Recorder

ANY = "tcp://127.0.0.1:0"


def test_importing_it_loads_nothing_heavy():
    """Start-up is what every script pays."""
    script = (
        "import sys, socketkit; heavy = 'asyncio ssl click rich prompt_toolkit uvloop trio msgspec inspect dataclasses "
        "logging concurrent subprocess tempfile typing_extensions websockets cryptography'.split(); "
        "print(*[name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr, done.returncode) == ("\n", "", 0)


def test_public_names_have_docstrings():
    """Every public name is there and has a docstring."""
    for name in socketkit.__all__:
        assert getattr(socketkit, name).__doc__, name


def test_a_pair_talks_in_plain_code():
    with pair(framing="lines") as (left, right):
        assert isinstance(left, BlockingConnection)
        left.send("hello")
        assert right.receive() == "hello"
    assert left.is_closed and right.is_closed


def test_a_pair_talks_in_async_code(engine):
    recorder = Recorder()

    async def main():
        async with pair(framing="lines", engine=engine, observer=recorder) as (left, right):
            assert isinstance(left, Connection)
            assert left.engine is engine
            await left.send("hello")
            assert await right.receive() == "hello"
            await left.close()
            with pytest.raises(EndOfStream):
                await right.receive()

    engine.run(main())
    assert len(recorder.of(Connected)) == 2
    assert recorder.names().count("Closed") == 2


def test_unpacked_pair_is_yours_to_close():
    """A pair can be unpacked and is then the clients to close."""
    left, right = pair()
    left.send(b"x")
    assert right.receive() == b"x"
    left.close()
    right.close()

    async def main():
        left, right = pair()
        await left.send(b"x")
        assert await right.receive() == b"x"
        await left.close()
        await right.close()

    asyncio.run(main())


def test_running_engine_is_used(engine):
    """The engine that runs is the one that waits."""
    if engine.blocks:
        pytest.skip("plain code has no running engine")

    async def main():
        async with serve(echo, ANY, framing="lines") as server:
            async with connect(server.addresses[0], framing="lines") as client:
                assert client.engine.name == engine.name
                await client.send("hello")
                assert await client.receive() == "hello"

    engine.run(main())


async def echo(connection):
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("recipe", [lambda: connect(ANY, engine="poll"), lambda: listen(ANY, engine="poll")])
def test_other_engine_refused(recipe):
    """Another engine than the one that runs is refused."""

    async def main():
        with pytest.raises(OptionError, match="engine=poll: the asyncio engine runs here; leave `engine` out"):
            await recipe()

    asyncio.run(main())


def test_blocking_wait_in_engine_refused():
    """A blocking wait would stop the engine that runs."""

    async def main():
        for recipe in (connect("tcp://127.0.0.1:9"), listen(ANY), pair()):
            with pytest.raises(BusyError, match="which a blocking wait would stop: use `async with`"):
                with recipe:
                    pass

    asyncio.run(main())


def test_default_server_engine():
    """The default engine of a server is that of asyncios libraries."""

    async def handler(connection):
        await asyncio.sleep(0)
        await connection.send(type(connection.engine).__name__)

    with serve(handler, ANY, framing="lines") as server, connect(server.addresses[0], framing="lines") as client:
        assert client.receive() == ("UvloopEngine" if engines.is_available("uvloop") else "AsyncioEngine")


def test_the_engine_may_ride_on_the_address():
    async def handler(connection):
        await connection.send(connection.engine.name)

    with serve(handler, f"{ANY}?engine=select&framing=lines") as server:
        with connect(server.addresses[0], framing="lines") as client:
            assert client.receive() == "select"


class Service:
    async def method(self, connection):
        await echo(connection)

    async def __call__(self, connection):
        await echo(connection)


@pytest.mark.parametrize(
    "handler",
    [echo, functools.partial(echo), Service().method, Service()],
    ids=["function", "partial", "method", "object"],
)
def test_any_async_callable_is_a_handler(handler):
    """Whatever is async is a handler for an engine."""
    with serve(handler, ANY, framing="lines", engine="poll") as server, call(server.addresses[0]) as client:
        assert ask(client, b"hello") == b"hello"


def decorated(function):
    @functools.wraps(function)
    def wrapper(connection):
        return function(connection)

    return wrapper


def test_wrapped_async_handler():
    """A wrapper that only returns the coroutine of an `async def` is as good as that."""
    with serve(decorated(echo), ANY, framing="lines", engine="poll") as server, call(server.addresses[0]) as client:
        assert ask(client, b"hello") == b"hello"


async def numbers(connection):
    yield 1


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (lambda connection: echo(connection), "coroutine"),
        (lambda connection: numbers(connection), "async_generator"),
        (lambda connection: (number for number in (1, 2)), "generator"),
    ],
    ids=["coroutine", "async generator", "generator"],
)
def test_returned_coroutine_is_reported(handler, kind):
    """What a plain handler returns without running it is a HandlerFailed that says what to do; the peer is reset."""
    recorder = Recorder()
    with serve(handler, ANY, observer=recorder) as server:
        with connect(server.addresses[0]) as client, pytest.raises(BrokenError):
            client.receive(timeout=20)
        server.wait_idle(timeout=20)
        assert server.statistics().failed_count == 1
    (failed,) = recorder.of(HandlerFailed)
    assert type(failed.error) is TypeError
    assert str(failed.error) == f"the handler has returned a {kind}, which is never run: make it `async def`"


@pytest.mark.parametrize("handler", [numbers, functools.partial(numbers), decorated(numbers)])
def test_generator_handler_refused(handler):
    with pytest.raises(TypeError, match="the handler is a generator function, whose body would never run"):
        serve(handler, ANY)


@pytest.mark.parametrize("workers", [0, -1, True, "two", 1.5])
def test_worker_count_is_checked(workers):
    with pytest.raises(OptionError, match=r"^workers: .*; allowed is a whole number from 1 to"):
        serve(echo, ANY).run(workers=workers)


@pytest.mark.parametrize(
    ("open_", "error", "text"),
    [
        (lambda: serve(echo), AddressError, "serve needs at least one address"),
        (lambda: serve(echo, "tcp://localhost"), AddressError, "address 'tcp://localhost'"),
        (lambda: serve(echo, ANY, grace="soon"), OptionError, "grace: 'soon' is not a time"),
        (lambda: serve(echo, ANY, max_connections=0), OptionError, "max_connections: 0 is out of range"),
        (lambda: listen(ANY, framing="morse"), OptionError, "morse"),
        (lambda: pair(high_water="lots"), OptionError, "high_water: 'lots' is not a size"),
        (lambda: connect("ftp://localhost:1"), AddressError, "ftp"),
    ],
)
def test_bad_address_before_opening(open_, error, text):
    """A mistake is reported before anything is opened."""
    with pytest.raises(error) as caught:
        open_()
    assert text in str(caught.value)


def test_plain_handler_in_async_refused():
    """A plain function has no place in a loop."""

    async def main():
        with pytest.raises(OptionError, match="a plain function needs threads"):
            await serve(lambda connection: None, ANY)

    asyncio.run(main())


def test_unknown_engine_refused_at_once() -> None:
    """An engine that is none is refused at once."""
    for make in (lambda: connect("tcp://h:1", engine="warp"), lambda: connect("tcp://h:1?engine=warp")):
        with pytest.raises(OptionError, match="there is no engine 'warp'"):
            make()
