"""Lines of 64 bytes over TLS, 32 under way at a time: our echo beside asyncio's streams (`readline`) on uvloop.

    .venv/bin/python bench/tls.py [SECONDS]

Each server is a process of its own; the client is the same for all, Python's blocking `ssl`. What a client sees in a
second has the client's own cost in it, and other work of the machine; what a server does in a second of its processor's
time has neither. Rounds alternate. Linux; needs `trustme` and `uvloop`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

LINE = b"x" * 63 + b"\n"
DEPTH = 32
ROUNDS = 5


def ours(engine: str, *, by_batches: bool = False) -> Callable[[str, Pipe], None]:
    """Our echo of lines on an engine: message by message, or as many at a time as came at a time."""

    def run(cert: str, pipe: Pipe) -> None:
        from socketkit import serve

        async def echo(connection: Any) -> None:
            if by_batches:
                async for lines in connection.batches():
                    await connection.send_many(lines)
            async for line in connection:
                await connection.send(line)

        with serve(echo, "tls://127.0.0.1:0", cert=cert, framing="lines:encoding=none", engine=engine) as server:
            pipe.send(server.addresses[0].port)
            pipe.recv()

    return run


def streams(loop: str) -> Callable[[str, Pipe], None]:
    """The same by asyncio's streams."""

    def run(cert: str, pipe: Pipe) -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()

        async def main() -> None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(cert)
            server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
            pipe.send(server.sockets[0].getsockname()[1])
            await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
            os._exit(0)

        if loop == "uvloop":
            import uvloop

            uvloop.run(main())
        else:
            asyncio.run(main())

    return run


SERVERS: dict[str, Callable[[str, Pipe], None]] = {
    "socketkit on uvloop": ours("uvloop"),
    "socketkit on epoll": ours("epoll"),
    "socketkit, by batches": ours("epoll", by_batches=True),
    "asyncio streams on uvloop": streams("uvloop"),
    "asyncio streams on asyncio": streams("asyncio"),
}


def measure(port: int, ca: str, seconds: float) -> float:
    """Lines a second that come back."""
    context = ssl.create_default_context(cafile=ca)
    batch = LINE * DEPTH
    buffer = bytearray(len(batch))
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            count, began = 0, time.perf_counter()
            while (now := time.perf_counter()) - began < seconds:
                client.sendall(batch)
                left = len(batch)
                while left:
                    left -= client.recv_into(buffer, left)
                count += DEPTH
            return count / (now - began)


def processor_time(pid: int) -> float:
    """Seconds of the processor that a process has used, proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure all, and print lines a second, and their ratios to asyncio's streams on uvloop."""
    import trustme

    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    spawn = multiprocessing.get_context("fork")
    rates: dict[str, list[float]] = {name: [] for name in SERVERS}
    efforts: dict[str, list[float]] = {name: [] for name in SERVERS}
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        ca, cert = Path(folder, "ca.pem"), Path(folder, "cert.pem")
        authority.cert_pem.write_to_path(ca)
        cert.write_bytes(authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes())
        running = []
        for name, server in SERVERS.items():
            near, far = spawn.Pipe()
            process = spawn.Process(target=server, args=(str(cert), far))
            process.start()
            running.append((name, process, near, near.recv()))
        for _ in range(ROUNDS):
            for name, process, _, port in running:
                began = processor_time(process.pid)
                rate = measure(port, str(ca), seconds)
                rates[name].append(rate)
                efforts[name].append(rate * seconds / max(0.01, processor_time(process.pid) - began))
        for _, process, near, _ in running:
            near.send("end")
            process.join()
    rate, effort = ({name: statistics.median(several) for name, several in table.items()} for table in (rates, efforts))
    base = "asyncio streams on uvloop"
    for name in SERVERS:
        print(
            f"{name:28} {rate[name]:9,.0f} lines/s {rate[name] / rate[base]:5.2f} x"
            f" {effort[name]:11,.0f} lines per second of the server's processor {effort[name] / effort[base]:5.2f} x"
        )


if __name__ == "__main__":
    main()
