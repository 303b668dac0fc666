"""Nothing is left behind: neither by messages, nor by connections."""

from __future__ import annotations

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
    async with socketkit.serve(echo, "tcp://127.0.0.1:0", framing="lines") as server:
        async with socketkit.connect(server.addresses[0], framing="lines") as connection:
            for start in range(0, count, 1000):
                await connection.send_many([str(number) for number in range(start, start + 1000)])
                for number in range(start, start + 1000):
                    assert await connection.receive() == str(number)
"""

CONNECTIONS = """
async def visit(count):
    async with socketkit.serve(echo, "tcp://127.0.0.1:0", framing="lines") as server:
        for number in range(count):
            async with socketkit.connect(server.addresses[0], framing="lines") as connection:
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
@pytest.mark.parametrize(("work", "warm", "count"), [("work", 50_000, 1_000_000), ("visit", 500, 5_000)])
def test_memory_is_flat(work: str, warm: int, count: int) -> None:
    """A million messages, or five thousand connections, leave the process as large as it was."""
    program = MESSAGES + CONNECTIONS
    done = subprocess.run(
        [sys.executable, "-c", program + FIGURES.format(work=work, warm=warm, count=count)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < ALLOWED
