"""Nothing is left behind: neither by messages, nor by connections."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

MESSAGES = """
import gc, resource, socketkit

def peak():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def work(count):
    async with socketkit.serve(echo, "{address}", framing="{framing}") as server:
        async with socketkit.connect(server.addresses[0], framing="{framing}") as connection:
            for start in range(0, count, 1000):
                await connection.send_many([str(number) for number in range(start, start + 1000)])
                for number in range(start, start + 1000):
                    assert await connection.receive() == str(number)
"""

CONNECTIONS = """
async def visit(count):
    async with socketkit.serve(echo, "{address}", framing="{framing}") as server:
        for number in range(count):
            async with socketkit.connect(server.addresses[0], framing="{framing}") as connection:
                await connection.send("x" * (number % 2000))
                assert len(await connection.receive()) == number % 2000
"""

FIGURES = """
import asyncio
asyncio.run({work}({warm}))
before = peak()
asyncio.run({work}({count}))
print(peak() - before)
"""

ALLOWED = 3 * 2**20
"""Bytes that the heap may grow by chance: less than 4 for each message, less than 640 for each connection."""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("address", "framing", "work", "warm", "count"),
    [
        ("tcp://127.0.0.1:0", "lines", "work", 50_000, 1_000_000),
        ("tcp://127.0.0.1:0", "lines", "visit", 500, 5_000),
        ("ws://127.0.0.1:0?compression=none", "chunks", "work", 50_000, 500_000),
        ("ws://127.0.0.1:0?compression=none", "chunks", "visit", 100, 600),
    ],
)
def test_memory_is_flat(address: str, framing: str, work: str, warm: int, count: int) -> None:
    """A million messages, or thousands of connections, leave the process as large as it was."""
    program = (MESSAGES + CONNECTIONS).replace("{address}", address).replace("{framing}", framing)
    done = subprocess.run(
        [sys.executable, "-c", program + FIGURES.format(work=work, warm=warm, count=count)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < ALLOWED


BUFFERS = """
import gc, resource
from socketkit.connection.session import Session
from socketkit.framing import of

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

busy = Session(of("lines"))
idle = [Session(of("json" if number % 2 else "lines")) for number in range(500)]
before = resident()
for number, session in enumerate(idle):
    busy.queue(["x" * 1000] * 60, 60)
    busy.take()  # its buffer may be used by the next one
    try:
        session.queue([1] if number % 2 else ["a\\nb"], 1)
        session.take()
    except ValueError:
        pass
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif("SANITIZED" in os.environ, reason="AddressSanitizer holds what was freed")
def test_no_buffer_where_nothing_was_encoded():
    """A message that is refused, or that Python encodes, leaves no empty buffer with its connection."""
    done = subprocess.run([sys.executable, "-c", BUFFERS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4 * 2**20, "500 buffers of 60 KiB are 30 MiB"
