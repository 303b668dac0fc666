"""A server ends in time whatever its handlers do: one that lets no cancellation through is left behind, and named."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time

import pytest

from socketkit import connect, engines, serve

GRACE = 0.2
TASKS = [name for name in engines.NAMES if name not in ("blocking", "trio") and engines.missing(name) is None]

SERVER = """
import asyncio, sys
from socketkit import serve

async def handler(connection):
    while True:
        try:
            await connection.engine.sleep(3600)
        except BaseException:
            pass

serve(handler, "tcp://127.0.0.1:0", grace={grace}, engine={engine!r}).run(
    listening=lambda addresses: print(addresses[0].port, flush=True)
)
"""


async def deaf(connection):
    await connection.send("in")
    while True:
        try:
            await connection.engine.sleep(3600)
        except BaseException:
            pass


@pytest.mark.parametrize("engine", TASKS)
def test_program_stops_within_grace(engine):
    """A program ends within grace and half a second."""
    program = SERVER.format(grace=GRACE, engine=engine)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            port = int(process.stdout.readline())
            with socket.create_connection(("127.0.0.1", port)) as guest:
                guest.settimeout(20)
                guest.sendall(b"so that somebody has been let in")
                told = time.monotonic()
                process.send_signal(signal.SIGTERM)
                with pytest.raises(ConnectionResetError):
                    guest.recv(1)
                assert process.wait(20) == 0
                took = time.monotonic() - told
            said = process.stderr.read()
        finally:
            process.kill()
    assert took < GRACE + 0.5 + 1.0  # the second is Python's own end, on a machine that is busy
    assert "it is left behind" in said
    assert "destroyed but it is pending" not in said


@pytest.mark.parametrize("engine", TASKS)
def test_threaded_server_stops_within_grace(engine, caplog):
    """A server in a thread ends too and so does the thread."""
    with caplog.at_level(logging.ERROR, "socketkit"):
        with serve(deaf, "tcp://127.0.0.1:0", engine=engine, framing="lines", grace=GRACE) as server:
            with connect(server.addresses[0], framing="lines") as guest:
                assert guest.receive() == "in"
                began = time.monotonic()
                server.close()
                took = time.monotonic() - began
    assert GRACE <= took < GRACE + 1.5
    assert server.statistics().failed_count == 1
    assert [record.exc_info[1].args[0].partition(",")[0] for record in caplog.records] == [
        f"the handler of {guest.local} goes on"
    ]


@pytest.mark.parametrize("engine", TASKS)
def test_task_outlasting_cleanup_is_abandoned(engine):
    """A task that outlasts the patience is left where it stands."""
    seen = []

    async def polite():
        try:
            await way.sleep(3600)
        finally:
            seen.append("polite")

    async def stubborn():
        while True:
            try:
                await way.sleep(3600)
            except way.cancelled as error:
                seen.append(type(error).__name__)

    async def main():
        way.start(polite())
        way.start(stubborn())
        await way.sleep(0)
        return "done"

    way = engines.make(engine)
    began = time.monotonic()
    assert way.run(main(), cleanup_timeout=0.1) == "done"
    assert 0.1 <= time.monotonic() - began < 5
    assert sorted(seen) == sorted(["polite", way.cancelled.__name__])
