"""Run two chat hosts on one bus under many guests, some of them faulty, and restart the bus three times.

Usage: `make soak-chat`, `make soak-chat DURATION=2m`. Guests with plain lines (TCP at one host, TLS at the other) and
guests of the web page's WebSocket (at both) come, talk, go, stall and die. Some stay the whole time: each of them has
to see every line of every other one, once and in its order. At the end no descriptor is left, and the memory has not
grown. Prints what was measured, and ends with status 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import WebSocketException

from socketkit.config.durations import parse_duration
from support.brokers import BROKERS
from support.programs import Program

GUESTS = 300
STAYING = 10
"""Of each of the four kinds."""

LINE_TIME = 2.0
"""Seconds between two lines of a guest that stays."""

GROWTH_FLOOR = 3 * 1024
GROWTH_A_GUEST = 2.0
"""KiB by which the memory of a host may grow from the third quarter of the time to the last, before which it warms up;
or for each guest that came meanwhile. A connection that is kept has at least five times as much."""

BLOCKS_FLOOR = 40_000
BLOCKS_A_GUEST = 2.0
"""Blocks of Python's memory by which a host may have more when all have left than before the first one came: what is
bounded (the history, what a bus may have to get again), and less for each guest than its record has."""

DOWN_TIMES = (0.3, 3.0, 6.0)
"""Seconds for which the bus is away: shorter than its grace, longer, and much longer."""


def kib(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def descriptors(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


class Guest:
    """A guest of any kind: how it speaks, and what it is shown."""

    async def open(self) -> None:
        raise NotImplementedError

    async def say(self, text: str) -> None:
        raise NotImplementedError

    def shown(self) -> AsyncIterator[tuple[str, str]]:
        """Writer and text of each line that was said."""
        raise NotImplementedError

    async def leave(self) -> None:
        raise NotImplementedError

    def die(self) -> None:
        """Go without a word: a reset."""
        raise NotImplementedError


class LineGuest(Guest):
    def __init__(self, port: int, name: str, *, has_tls: bool) -> None:
        self.port, self.name, self.has_tls = port, name, has_tls

    async def open(self) -> None:
        context = None
        if self.has_tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, limit=2**20)
        await self.say(f"/name {self.name}")

    async def say(self, text: str) -> None:
        self.writer.write(text.encode() + b"\n")
        await self.writer.drain()

    async def shown(self) -> AsyncIterator[tuple[str, str]]:
        while line := await self.reader.readline():
            name, colon, text = line.decode().rstrip("\n").partition(": ")
            if colon and not name.startswith(("*", "[")):
                yield name, text

    async def leave(self) -> None:
        await self.say("bye")
        self.writer.close()

    def die(self) -> None:
        self.writer.transport.abort()


class WebGuest(Guest):
    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name

    async def open(self) -> None:
        self.socket = await connect_websocket(
            f"ws://127.0.0.1:{self.port}/ws", subprotocols=["socketkit-chat.v1"], compression=None,
            ping_interval=None, max_queue=4096, open_timeout=30,
        )  # fmt: skip
        await self.socket.send(json.dumps({"type": "hello", "name": self.name}))

    async def say(self, text: str) -> None:
        await self.socket.send(json.dumps({"type": "line", "text": text}))

    async def shown(self) -> AsyncIterator[tuple[str, str]]:
        async for data in self.socket:
            event = json.loads(data)
            if event["type"] == "message" and not event.get("past"):
                yield event["name"], event["text"]

    async def leave(self) -> None:
        await self.socket.close()

    def die(self) -> None:
        self.socket.transport.abort()


LOST = (OSError, ssl.SSLError, WebSocketException, asyncio.IncompleteReadError, ValueError, TimeoutError)


class Soak:
    def __init__(self, duration: float, kind: str, folder: Path) -> None:
        self.duration = duration
        self.broker = BROKERS[kind](folder / kind)
        self.folder = folder
        self.events: Counter[str] = Counter()
        self.problems: list[str] = []
        self.said: Counter[str] = Counter()
        self.heard: dict[str, dict[str, int]] = {}
        self.memory: dict[int, list[tuple[float, int, int]]] = {}  # its share of the time, guests that came, KiB
        self.is_over = False
        self.count_of_counts = 0
        self.has_begun = asyncio.Event()

    def host(self, address: str, name: str, store: str) -> Program:
        return Program(
            sys.executable, "-m", "faults.counted_host", "chat", "host", address, "--web", "http://127.0.0.1:0",
            "--name", name, "--bus", self.broker.url(), "--store", str(self.folder / store), "--max-guests", "2000",
            "--lang", "en", *(["--self-signed"] if address.startswith("tls") else []),
            stdout=subprocess.DEVNULL,
            env={"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536", "PYTHONWARNINGS": "default",
                 "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip

    def new_guest(self, kind: int, name: str) -> Guest:
        plain, plain_web, secure, secure_web = self.ports
        return [
            LineGuest(plain, name, has_tls=False), LineGuest(secure, name, has_tls=True),
            WebGuest(plain_web, name), WebGuest(secure_web, name),
        ][kind]  # fmt: skip

    async def stay(self, kind: int, number: int) -> None:
        """A guest that stays: it says numbered lines, and checks those of the others."""
        name = f"stay{kind}x{number}"
        guest = self.new_guest(kind, name)
        await guest.open()
        heard = self.heard[name] = {}

        async def listen() -> None:
            async for writer, text in guest.shown():
                word, _, count = text.partition(" ")
                if word != "count" or not writer.startswith("stay") or writer == name:
                    continue
                if int(count) != heard.get(writer, 0) + 1:
                    self.problems.append(f"{name}: {writer} {count} behind {heard.get(writer, 0)}")
                heard[writer] = int(count)
            if not self.is_over:
                self.problems.append(f"{name} was disconnected")

        listening = asyncio.ensure_future(listen())
        await self.has_begun.wait()
        await asyncio.sleep(random.random() * LINE_TIME)
        while not self.is_over:
            self.said[name] += 1
            await guest.say(f"count {self.said[name]}")
            self.events["lines of staying guests"] += 1
            await asyncio.sleep(LINE_TIME)
        await self.all_heard()
        await guest.leave()
        listening.cancel()

    async def all_heard(self) -> None:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            if all(
                heard.get(name) == self.said[name]
                for own, heard in self.heard.items()
                for name in self.said
                if own != name
            ):
                return
            await asyncio.sleep(0.2)

    async def come_and_go(self, number: int) -> None:
        """Guests that come one after the other, and go in all ways."""
        await self.has_begun.wait()
        await asyncio.sleep(random.random() * 5)
        count = 0
        while not self.is_over:
            count += 1
            kind = random.randrange(4)
            guest = self.new_guest(kind, f"come{number}x{count}")
            reading: asyncio.Future[None] | None = None
            try:
                await asyncio.wait_for(guest.open(), 30)
                self.events["guests that came"] += 1
                fate = random.choice(["leave", "die", "stall", "flood", "die in a line"])
                if fate != "stall":
                    reading = asyncio.ensure_future(self.read(guest))
                for word in range(random.randrange(4)):
                    await asyncio.wait_for(guest.say(f"hello {word}"), 30)
                if fate == "flood":
                    for word in range(30):
                        await asyncio.wait_for(guest.say(f"flood {word}"), 30)
                await asyncio.sleep(random.uniform(1, 12))
                if fate == "die in a line" and isinstance(guest, LineGuest):
                    guest.writer.write("полслова".encode()[:-1])
                if fate in ("leave", "flood"):
                    await asyncio.wait_for(guest.leave(), 30)
                else:
                    guest.die()
                self.events[fate] += 1
            except LOST as error:
                self.events[f"lost: {type(error).__name__}"] += 1
                with contextlib.suppress(Exception):
                    guest.die()
            finally:
                if reading is not None:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
            await asyncio.sleep(random.random())

    async def read(self, guest: Guest) -> None:
        with contextlib.suppress(*LOST):
            async for _ in guest.shown():
                self.events["lines read by others"] += 1

    async def restart_bus(self) -> None:
        began = time.monotonic()
        for share, down in zip((0.25, 0.5, 0.75), DOWN_TIMES, strict=True):
            await asyncio.sleep(max(0.0, began + share * self.duration - time.monotonic()))
            await asyncio.to_thread(self.broker.kill)
            await asyncio.sleep(down)
            await asyncio.to_thread(self.broker.start)
            self.events["restarts of the bus"] += 1

    async def watch(self) -> None:
        began = shown = time.monotonic()
        while not self.is_over:
            for host in self.hosts:
                sample = ((time.monotonic() - began - 3) / self.duration, self.came(), kib(host.process.pid))
                self.memory.setdefault(host.process.pid, []).append(sample)
                if host.process.poll() is not None:
                    self.problems.append("a host has ended")
                    self.is_over = True
            if time.monotonic() - shown > 30:
                shown = time.monotonic()
                sizes = [each[-1][2] // 1024 for each in self.memory.values()]
                counts = [descriptors(host.process.pid) for host in self.hosts]
                print(f"{shown - began:5.0f} s: {sizes} MiB, {counts} descriptors, {dict(self.events)}", flush=True)
            await asyncio.sleep(1)

    def came(self) -> int:
        return self.events["guests that came"]

    async def blocks(self) -> list[int]:
        """The blocks of memory of each host."""
        self.count_of_counts += 1
        counts = []
        for host in self.hosts:
            host.process.send_signal(signal.SIGUSR1)
            line = await asyncio.to_thread(host.wait_line, "blocks ", self.count_of_counts)
            counts.append(int(line.split()[-1]))
        return counts

    async def run(self) -> None:
        self.broker.start()
        with contextlib.ExitStack() as stack:
            stack.callback(self.broker.kill)
            one = stack.enter_context(self.host("tcp4://127.0.0.1:0", "Ann", "one.db"))
            other = stack.enter_context(self.host("tls://127.0.0.1:0", "Ben", "other.db"))
            self.hosts = (one, other)
            addresses = [host.wait_line("listening ", count).rsplit(":", 1) for host in self.hosts for count in (1, 2)]
            self.ports = [int(each[1].strip("/ws")) for each in addresses]
            before = [descriptors(host.process.pid) for host in self.hosts]
            blocks = await self.blocks()
            tasks = [asyncio.ensure_future(self.stay(kind, number)) for kind in range(4) for number in range(STAYING)]
            for number in range(GUESTS - len(tasks)):
                tasks.append(asyncio.ensure_future(self.come_and_go(number)))
            helpers = [asyncio.ensure_future(self.watch()), asyncio.ensure_future(self.restart_bus())]
            await asyncio.sleep(3)
            self.has_begun.set()
            await asyncio.sleep(self.duration)
            self.is_over = True
            for task in asyncio.as_completed(tasks, timeout=120):
                await task
            await asyncio.gather(*helpers)
            await self.check(before)
            self.check_memory(blocks, await self.blocks())
            for host in self.hosts:
                if (status := await asyncio.to_thread(host.stop)) != 0:
                    self.problems.append(f"a host ended with status {status}: {host.stderr_lines[-3:]}")

    async def check(self, before: list[int]) -> None:
        for own, heard in self.heard.items():
            for name, count in self.said.items():
                if own != name and heard.get(name) != count:
                    self.problems.append(f"{own} has seen {heard.get(name)} of {count} lines of {name}")
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            after = [descriptors(host.process.pid) for host in self.hosts]
            if all(late <= early + 2 for late, early in zip(after, before, strict=True)):
                break
            await asyncio.sleep(0.5)
        else:
            self.problems.append(f"{after} descriptors are open; before the guests came there were {before}")
        print(f"descriptors {before} -> {after}")

    def check_memory(self, before: list[int], after: list[int]) -> None:
        """Neither resident memory, after it has warmed up, nor allocated blocks have grown by the guests that came."""
        for samples, early_blocks, late_blocks in zip(self.memory.values(), before, after, strict=True):
            third = [each for each in samples if 0.5 <= each[0] < 0.75]
            last = [each for each in samples if 0.75 <= each[0] < 1.0]
            early, late = (statistics.median(each[2] for each in phase) for phase in (third, last))
            came = last[-1][1] - third[0][1]
            print(
                f"memory: {early / 1024:.1f} MiB in the third quarter, {late / 1024:.1f} in the last; "
                f"blocks: {early_blocks} before, {late_blocks} when all had left; guests: {came} of {self.came()}"
            )
            if late - early > max(GROWTH_FLOOR, GROWTH_A_GUEST * came / 2):
                self.problems.append(f"the memory has grown by {(late - early) / 1024:.1f} MiB")
            if late_blocks - early_blocks > BLOCKS_FLOOR + BLOCKS_A_GUEST * self.came():
                self.problems.append(f"there are {late_blocks - early_blocks} blocks more")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=parse_duration, default=600.0)
    parser.add_argument("--broker", choices=("nats", "redis"), default="nats")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="socketkit-soak-") as folder:

        async def work() -> Soak:
            soak = Soak(chosen.duration, chosen.broker, Path(folder))
            await soak.run()
            return soak

        soak = asyncio.run(work())
    print(f"said by those that stayed: {sum(soak.said.values())}; {dict(soak.events)}")
    for problem in soak.problems[:30]:
        print(f"BROKEN: {problem}")
    print(f"{len(soak.problems)} promises were broken" if soak.problems else "every promise was kept")
    sys.exit(bool(soak.problems))


if __name__ == "__main__":
    main()
