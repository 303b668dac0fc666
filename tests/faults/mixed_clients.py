"""Healthy and faulty clients, each a coroutine over a raw socket, and a run of many of them at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable

TIMEOUT = 30.0
SILENCES = (0.3, 1.0, TIMEOUT) if os.environ.get("SOAK_DURATION") else (0.3, 1.0)
"""Seconds after which a silent caller goes by itself; for long enough only where there is time to see him out."""

RESET = struct.pack("ii", 1, 0)

Name = tuple[str, int]


class Book:
    """What became of the callers. Attributes: counts: by kind; lost: what a healthy one did not get back."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lost: list[str] = []


@contextlib.asynccontextmanager
async def called(name: Name):
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, name), TIMEOUT)
        yield sock
    finally:
        sock.close()


async def receive(sock: socket.socket, size: int = 65536) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, size), TIMEOUT)


async def send(sock: socket.socket, data: bytes) -> None:
    await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(sock, data), TIMEOUT)


def lines(count: int) -> bytes:
    return b"".join(random.randbytes(random.randrange(200)).hex().encode() + b"\n" for _ in range(count))


async def polite(name: Name, book: Book) -> None:
    """Asks and waits for the answer, many times."""
    async with called(name) as sock:
        for _ in range(random.randrange(1, 20)):
            data = lines(random.randrange(1, 30))
            await send(sock, data)
            answer = b""
            while len(answer) < len(data):
                piece = await receive(sock)
                if not piece:
                    book.lost.append(f"polite: the end after {len(answer)} of {len(data)} bytes")
                    return
                answer += piece
            if answer != data:
                book.lost.append("polite: something else came back")


async def half_closed(name: Name, book: Book) -> None:
    """Says all it has, ends its direction, and only then listens."""
    async with called(name) as sock:
        data = lines(300)
        sending = asyncio.ensure_future(send(sock, data))
        answer = b""
        while len(answer) < len(data):
            piece = await receive(sock)
            if not piece:
                break
            answer += piece
            if sending.done():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
        await sending
        if answer != data:
            book.lost.append(f"half-closed: {len(answer)} of {len(data)} bytes came back")


async def until_closed(sock: socket.socket) -> None:
    while await receive(sock):
        pass


async def silent(name: Name, book: Book) -> None:
    """Some are shown out, the others lose patience first."""
    async with called(name) as sock:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(until_closed(sock), random.choice(SILENCES))


async def slow_reader(name: Name, book: Book) -> None:
    """Asks for much, and hardly listens."""
    async with called(name) as sock:
        sending = asyncio.ensure_future(send(sock, lines(5000)))
        for _ in range(20):
            await receive(sock, 10)
            await asyncio.sleep(0.01)
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await sending


async def slow_writer(name: Name, book: Book) -> None:
    """A byte at a time."""
    async with called(name) as sock:
        for byte in b"hello, this takes long\n" * 3:
            await send(sock, bytes([byte]))
            await asyncio.sleep(0.003)
        await receive(sock)


async def reset(name: Name, book: Book) -> None:
    """Gone in the middle of a line, with a reset."""
    async with called(name) as sock:
        await send(sock, lines(50) + b"and then")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


async def gone_at_once(name: Name, book: Book) -> None:
    async with called(name) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


async def endless(name: Name, book: Book) -> None:
    """One line without an end."""
    async with called(name) as sock:
        while True:
            await send(sock, b"x" * 65536)


async def garbage(name: Name, book: Book) -> None:
    async with called(name) as sock:
        await send(sock, random.randbytes(random.randrange(1, 100_000)))
        await receive(sock)


HEALTHY: tuple[Callable[[Name, Book], Awaitable[None]], ...] = (polite, half_closed)
FAULTY = (silent, slow_reader, slow_writer, reset, gone_at_once, endless, garbage)


async def crowd(name: Name, book: Book, *, count: int, seconds: float) -> None:
    """So many callers at a time, each followed by another, until the time is over and the last has gone."""
    loop = asyncio.get_running_loop()
    over = loop.time() + seconds

    async def one_after_another(number: int) -> None:
        while loop.time() < over:
            kind = random.choice(HEALTHY if number % 2 else FAULTY)
            try:
                await kind(name, book)
            except (OSError, TimeoutError) as error:
                if kind in HEALTHY:
                    book.lost.append(f"{kind.__name__}: {error!r}")
            book.counts[kind.__name__] += 1

    await asyncio.gather(*(one_after_another(number) for number in range(count)))
