"""The chat: fan-out beside Redis pub/sub, memory of idle guests, delay of delivery in a full room, storms of joins.

Usage: `python -m bench.chat [--write]` (needs redis-server). The servers have one core, the publisher and the guests
the other one. `--write` makes the table and the chart of bench/chat.md.
"""

from __future__ import annotations

import os
import random
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from bench import joins
from bench.machine import Programs, compile_programs, facts, on_load_core, on_server_core, processor_ns

READERS = 100
SIZE = 64
BURST = 500
ROUNDS = 7
ROUND_TIME = 1.0
IDLE = 10_000
CROWD = 1000
LINES_A_SECOND = 100
CROWD_TIME = 5.0
FOLDER = Path(__file__).parent

TEXT = b"x" * (SIZE - 1)
REDIS_LINE = b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$%d\r\n%b\r\n" % (len(TEXT), TEXT)
REDIS_FRAME = len(b"*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$63\r\n") + len(TEXT) + 2


@contextmanager
def chat_host(*options: str) -> Iterator[tuple[int, int]]:
    """A chat host on the server's core: its process and its port."""
    command = [sys.executable, "-m", "socketkit", "chat", "host", "tcp4://127.0.0.1:0", "--lang", "en", *options]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=on_server_core,
    ) as process:
        assert process.stderr is not None
        try:
            port = int(process.stderr.readline().rsplit(b":", 1)[1])
            yield process.pid, port
        finally:
            process.kill()


@contextmanager
def redis_server() -> Iterator[tuple[int, int]]:
    """Redis on the server's core."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="socketkit-bench-") as folder:
        command = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder, preexec_fn=on_server_core) as process:
            try:
                while True:
                    try:
                        socket.create_connection(("127.0.0.1", port)).close()
                        break
                    except OSError:
                        time.sleep(0.02)
                yield process.pid, port
            finally:
                process.kill()


def guest(port: int, source: str = "127.0.0.1", first: bytes = b"") -> socket.socket:
    """A guest that was greeted."""
    sock = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if first:
        sock.sendall(first)
    return sock


def read_until(sock: socket.socket, end: bytes) -> None:
    data = b""
    while end not in data:
        chunk = sock.recv(65536)
        if not chunk:
            raise RuntimeError(f"closed behind {data[-100:]!r}")
        data = data[-100:] + chunk


def drain(socks: list[socket.socket], quiet: float = 0.3) -> None:
    """Read what all of them have, until nothing comes for so many seconds."""
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ)
        while ready := selector.select(quiet):
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.recv(2**18)


@dataclass
class FanOut:
    """One server with its readers.

    Attributes:
        frame_size: bytes that each reader gets for a line.
        rates: deliveries a second of server processor time, one a round.
    """

    name: str
    process: int
    publisher: socket.socket
    readers: list[socket.socket]
    burst: bytes
    frame_size: int
    rates: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)

    def round(self) -> None:
        with selectors.DefaultSelector() as selector:
            for reader in self.readers:
                selector.register(reader, selectors.EVENT_READ)
            before, began, deliveries = processor_ns(self.process), time.perf_counter(), 0
            while time.perf_counter() - began < ROUND_TIME:
                self.publisher.sendall(self.burst)
                left = BURST * READERS * self.frame_size
                while left > 0:
                    for key, _ in selector.select(20) or _stuck(self.name, left):
                        assert isinstance(key.fileobj, socket.socket)
                        left -= len(key.fileobj.recv(2**18))
                deliveries += BURST * READERS
            self.speeds.append(deliveries / (time.perf_counter() - began))
            self.rates.append(deliveries / (processor_ns(self.process) - before) * 1e9)


def _stuck(name: str, left: int) -> list[tuple[selectors.SelectorKey, int]]:
    raise RuntimeError(f"{name}: {left} bytes did not come")


def fan_out() -> list[FanOut]:
    """A hundred readers of one writer: the chat and Redis in turn."""
    with ExitStack() as stack:
        contestants = []
        for name, options in (("chat host", ()), ("chat host, --engine uvloop", ("--engine", "uvloop"))):
            process, port = stack.enter_context(chat_host(*options))
            socks = [guest(port) for _ in range(READERS + 1)]
            for sock in socks:
                read_until(sock, b"welcome")
            socks[-1].sendall(b"/name w\n")
            read_until(socks[-1], b"you are w now")
            drain(socks)
            line = TEXT[: SIZE - 4]  # with the name, the colon and the end 64 bytes at each reader
            contestants.append(
                FanOut(name, process, socks[-1], socks[:-1], (line + b"\n") * BURST, len(b"w: ") + len(line) + 1)
            )
        process, port = stack.enter_context(redis_server())
        readers = [guest(port, first=b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nroom\r\n") for _ in range(READERS)]
        for sock in readers:
            read_until(sock, b":1\r\n")
        contestants.append(FanOut("Redis pub/sub", process, guest(port), readers, REDIS_LINE * BURST, REDIS_FRAME))
        for _ in range(ROUNDS):
            for each in random.sample(contestants, len(contestants)):
                each.round()
        for each in contestants:
            each.publisher.close()
            for sock in each.readers:
                sock.close()
        return contestants


def resident_mib(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def idle_memory() -> tuple[float, float]:
    """Mebibytes of a chat host without guests, and with ten thousand that are idle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < IDLE + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * IDLE), hard))
    with chat_host("--max-guests", str(IDLE)) as (process, port):
        with guest(port) as first:
            read_until(first, b"welcome")
        empty = resident_mib(process)
        socks: list[socket.socket] = []
        with selectors.DefaultSelector() as selector:
            for number in range(IDLE):
                # Each says first which room it wants, so that one room does not tell 10 000 of each that comes.
                sock = guest(port, f"127.0.0.{1 + number % 8}", b"/join room%d\n" % (number % 200))
                sock.setblocking(False)
                socks.append(sock)
                selector.register(sock, selectors.EVENT_READ)
                if number % 50 == 49:
                    while ready := selector.select(0.002):
                        for key, _ in ready:
                            assert isinstance(key.fileobj, socket.socket)
                            if not key.fileobj.recv(2**18):
                                raise RuntimeError("a guest was disconnected")
        drain(socks, 1.0)
        full = resident_mib(process)
        socks[-1].setblocking(True)
        socks[-1].sendall(b"/who\n")
        read_until(socks[-1], b"here: ")
        for sock in socks:
            sock.close()
        return empty, full


def delays(programs: Programs) -> list[float]:
    """Milliseconds from a line's sending to each of a thousand guests, at 100 lines a second: p50, p90, p99, p99.9."""
    with chat_host("--max-guests", str(CROWD + 1)) as (_, port):
        arguments = [str(port), str(CROWD), str(LINES_A_SECOND), str(CROWD_TIME)]
        output = subprocess.run([programs["chat_delay"], *arguments], check=True, capture_output=True, text=True).stdout
        return [float(each) for each in output.split()[1:5]]


def chart(groups: list[tuple[str, str, list[tuple[str, float, bool]]]]) -> str:
    """Bars: a title, a format, and for each bar its name, value and whether it is ours."""
    width, left, top, parts = 760, 210, 10, []
    for title, form, bars in groups:
        parts.append(f'<text x="4" y="{top + 16}" class="h">{escape(title)}</text>')
        top += 26
        longest = max(value for _, value, _ in bars)
        for name, value, is_ours in bars:
            length = max(2.0, (width - left - 90) * value / longest)
            parts.append(
                f'<text x="{left - 6}" y="{top + 14}" text-anchor="end">{escape(name)}</text>'
                f'<rect x="{left}" y="{top + 3}" width="{length:.1f}" height="14" class="{"o" if is_ours else "p"}"/>'
                f'<text x="{left + length + 5:.1f}" y="{top + 14}">{escape(form.format(value))}</text>'
            )
            top += 20
        top += 14
    style = (
        "text{font:12px sans-serif;fill:#222}.h{font-weight:bold}.o{fill:#1a7f37}.p{fill:#8c959f}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}">'
        f"<style>{style}</style>{''.join(parts)}</svg>\n"
    )


def main() -> None:
    if os.getuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -15)  # the servers have it too
    on_load_core()
    only = {each.removeprefix("--only=") for each in sys.argv if each.startswith("--only=")}
    wanted: Callable[[str], bool] = lambda name: not only or name in only  # noqa: E731
    rows: list[tuple[str, str, str, str]] = []
    groups: list[tuple[str, str, list[tuple[str, float, bool]]]] = []
    if wanted("fan-out"):
        contestants = fan_out()
        redis = statistics.median(contestants[-1].rates)
        bars = [(each.name, statistics.median(each.rates) / 1e6, "Redis" not in each.name) for each in contestants]
        groups.append(
            (f"{READERS} readers, {SIZE}-byte lines: million deliveries a second of processor time", "{:.2f}", bars)
        )
        for each in contestants:
            ratio = statistics.median(each.rates) / redis
            what = f"fan-out, {each.name}: deliveries a second of processor time (in wall time)"
            figure = f"{statistics.median(each.rates):,.0f} ({statistics.median(each.speeds):,.0f})"
            rows.append((what, figure, f"{ratio:.1f}x Redis", ">= 3x"))
    if wanted("idle"):
        empty, full = idle_memory()
        groups.append(
            ("Memory of a chat host (MiB)", "{:.0f}", [("no guest", empty, True), ("10 000 idle guests", full, True)])
        )
        each = (full - empty) * 1024 / IDLE
        rows.append((f"{IDLE} idle guests", f"{full:.0f} MiB", f"{each:.1f} KiB a guest", "<= 150 MiB"))
    if wanted("delay"):
        with ExitStack() as stack:
            found = delays(compile_programs(stack))
        points = [(name, value, True) for name, value in zip(("p50", "p90", "p99", "p99.9"), found, strict=True)]
        groups.append((f"Delay of {LINES_A_SECOND} lines a second to {CROWD} guests (ms)", "{:.1f}", points))
        text = ", ".join(f"{name} {value:.1f}" for name, value, _ in points)
        rows.append(
            (f"{LINES_A_SECOND} lines a second to {CROWD} guests", f"{points[2][1]:.1f} ms (p99)", text, "<= 20 ms")
        )
    storms = ""
    if wanted("joins"):
        with ExitStack() as stack:
            storms, bars = joins.table(compile_programs(stack))
        groups.append((f"p99 of others' lines while {joins.COUNT:,} join within a second (ms)", "{:.1f}", bars))
    table = "\n".join(
        ["| what | figure | | held to |", "|---|---:|---|---:|", *(f"| {' | '.join(row)} |" for row in rows)]
    )
    print(table)
    if "--write" in sys.argv:
        page = (
            "# How fast the chat is\n\n"
            "Made by `make bench-chat`. The server has one core, the guests and the writer the other one. Fan-out is\n"
            "counted in the server's processor time, which other work on the machine changes little.\n\n"
            f"![Fan-out, memory and delay](chat.svg)\n\n{table}\n\n"
            f"## {joins.COUNT:,} joins in a second\n\n"
            f"`bench/joins.py`: {joins.TALKERS} guests say {joins.RATE} lines a second in the lobby, and a storm\n"
            "comes in. With the default limits a thousand are in, and the others get a notice that the chat is full.\n"
            f"Held to: a p99 of {joins.P99_HELD_TO:.0f} ms, twice that by WebSocket and with a store; no line lost or\n"
            f"doubled. A row is the median of {joins.ROUNDS} rounds. The processor's time is the host's, with the\n"
            "talk. What the backlog (net.core.somaxconn) does not hold, the clients' systems try again after a\n"
            "second.\n\n"
            f"{storms}\n\n{facts()}\n"
        )
        (FOLDER / "chat.md").write_text(page)
        (FOLDER / "chat.svg").write_text(chart(groups))


if __name__ == "__main__":
    main()
