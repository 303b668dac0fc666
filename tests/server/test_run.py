"""A server that is opened and served until a signal: signals while it opens, and listeners that fail."""

from __future__ import annotations

import logging
import signal
import socket
import sys

import pytest

from socketkit import engines, serve
from socketkit.events import AcceptFailed
from support.programs import Program

FAR = 20

SLOW = """
import socket, sys, threading

def wait(*arguments, **options):
    print("resolving", file=sys.stderr, flush=True)
    threading.Event().wait()

socket.getaddrinfo = wait
"""

LIBRARY = """
from socketkit import serve

async def echo(connection): ...

serve(echo, "unix:" + sys.argv[2], "tcp://name.example:0", engine=sys.argv[1]).run()
print("ended")
"""

COMMAND = """
from socketkit.cli.main import main
sys.argv[1:] = ["echo", "unix:" + sys.argv[2], "tcp://name.example:0", "--engine", sys.argv[1]]
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("script", [LIBRARY, COMMAND], ids=["library", "command"])
@pytest.mark.parametrize("engine", ["epoll", "asyncio", "trio", "blocking"])
def test_signal_while_opening(tmp_path, engine, script, number) -> None:
    """The server ends at once, with status 0, and the socket file that it had made is removed."""
    if engines.missing(engine) or (engine == "trio" and script is COMMAND):
        pytest.skip(f"{engine} is not for this")
    path = tmp_path / "s"
    with Program(sys.executable, "-c", SLOW + script, engine, str(path)) as program:
        program.wait_line("resolving")
        assert path.exists()
        assert program.stop(number) == 0, program.stderr_lines
        assert not path.exists()
        assert program.stderr_lines == ["resolving"]


async def echo(connection) -> None:
    async for message in connection:
        await connection.send(message)


def test_failed_listener_is_an_event() -> None:
    """Another process shuts the listening socket down: an event says so at once, and `close` raises the error."""
    events: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as sock:
        with (
            pytest.raises(OSError, match="Invalid argument"),
            serve(echo, f"fd://{sock.fileno()}", engine="epoll", observer=events.append) as server,
        ):
            address = str(server.addresses[0])
            sock.shutdown(socket.SHUT_RDWR)
            server._thread.join(FAR)
    (failed,) = [event for event in events if isinstance(event, AcceptFailed)]
    assert failed.local == address
    assert isinstance(failed.error, OSError)


def test_failed_listener_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Without an observer it is an error in the log."""
    with socket.create_server(("127.0.0.1", 0)) as sock, caplog.at_level(logging.ERROR, logger="socketkit"):
        with (
            pytest.raises(OSError, match="Invalid argument"),
            serve(echo, f"fd://{sock.fileno()}", engine="epoll") as server,
        ):
            sock.shutdown(socket.SHUT_RDWR)
            server._thread.join(FAR)
    assert [record.getMessage() for record in caplog.records] == [f"accepting at {server.addresses[0]} has failed"]
