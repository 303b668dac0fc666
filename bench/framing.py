"""How fast are the codecs alone? `make bench-framing` measures, compares, and writes docs/framing-speed.md.

Every comparison is made in one run, round by round: all contenders get the same bytes in the same 64 KiB chunks, and
the ratio is the median of five rounds. The chunks do not end where messages end. Exit status 1: a bar was not met.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from twisted.protocols.basic import LineOnlyReceiver, NetstringReceiver

from socketkit import framing

CHUNK = 64 * 1024
COUNT = 16_000
ROUNDS = 5
PAGE = Path(__file__).parents[1] / "docs" / "framing-speed.md"

TEXTS = [f"{number:064d}" for number in range(COUNT)]
PAYLOADS = [text.encode() for text in TEXTS]
OBJECTS = [{"id": number, "name": "somebody", "scores": [1, 2, 3], "ok": True} for number in range(COUNT)]

Run = Callable[[], Any]


def chunks(data: bytes) -> list[bytes]:
    return [data[index : index + CHUNK] for index in range(0, len(data), CHUNK)]


def messages_for(name: str) -> list[Any]:
    if name == "lines" or name == "lines:crlf":
        return TEXTS
    return OBJECTS if name.startswith(("json", "msgpack")) else PAYLOADS


def encoded(name: str) -> bytes:
    return framing.parse(name).codec().encode(messages_for(name))


def feed(name: str) -> Run:
    """All chunks through a fresh codec; every message ends up in a list."""
    pieces = chunks(encoded(name))

    def run() -> None:
        codec = framing.parse(name).codec()
        messages: list[Any] = []
        for piece in pieces:
            messages += codec.feed(piece)
        assert len(messages) == COUNT

    return run


def encode(name: str) -> Run:
    """A thousand messages in one go, sixteen times."""
    batch = messages_for(name)[:1000]

    def run() -> None:
        codec = framing.parse(name).codec()
        for _ in range(COUNT // 1000):
            codec.encode(batch)

    return run


def encode_each(name: str) -> Run:
    """One message a call, as `send` does it."""
    messages = [(message,) for message in messages_for(name)]

    def run() -> None:
        codec = framing.parse(name).codec()
        for message in messages:
            codec.encode(message)

    return run


def asyncio_readline() -> Run:
    pieces = chunks(encoded("lines"))

    async def read() -> None:
        reader = asyncio.StreamReader(limit=2**20)
        lines = []
        for piece in pieces:
            reader.feed_data(piece)
            for _ in range(bytes(reader._buffer).count(b"\n")):  # type: ignore[attr-defined]
                lines.append(await reader.readline())
        assert len(lines) == COUNT

    return lambda: asyncio.run(read())


def asyncio_readexactly() -> Run:
    pieces = chunks(encoded("length:4"))
    frame = 4 + len(PAYLOADS[0])

    async def read() -> None:
        reader = asyncio.StreamReader(limit=2**20)
        messages = []
        for piece in pieces:
            reader.feed_data(piece)
            for _ in range(len(reader._buffer) // frame):  # type: ignore[attr-defined]
                size = int.from_bytes(await reader.readexactly(4), "big")
                messages.append(await reader.readexactly(size))
        assert len(messages) == COUNT

    return lambda: asyncio.run(read())


def twisted_lines() -> Run:
    pieces = chunks(encoded("lines"))

    def run() -> None:
        lines: list[bytes] = []
        protocol = LineOnlyReceiver()
        protocol.delimiter = b"\n"
        protocol.transport = SimpleNamespace(disconnecting=False)
        protocol.lineReceived = lines.append
        for piece in pieces:
            protocol.dataReceived(piece)
        assert len(lines) == COUNT

    return run


def twisted_netstrings() -> Run:
    pieces = chunks(encoded("netstring"))

    def run() -> None:
        messages: list[bytes] = []
        protocol = NetstringReceiver()
        protocol.makeConnection(SimpleNamespace(disconnecting=False, loseConnection=lambda: None))
        protocol.stringReceived = messages.append
        for piece in pieces:
            protocol.dataReceived(piece)
        assert len(messages) == COUNT

    return run


def bare_json() -> Run:
    ready = encoded("json").split(b"\n")[:-1]
    decode = msgspec.json.decode

    def run() -> None:
        values = []
        for line in ready:
            values.append(decode(line))
        assert len(values) == COUNT

    return run


def bare_join() -> Run:
    batch = PAYLOADS[:1000]

    def run() -> None:
        for _ in range(COUNT // 1000):
            b"\n".join(batch)

    return run


COMPARISONS = [
    # what, ours, the other's name, the other, the bar, whether more is better
    ("lines, feed", lambda: feed("lines"), "asyncio StreamReader.readline", asyncio_readline, 8.0, True),
    ("lines, feed", lambda: feed("lines"), "Twisted LineOnlyReceiver (bytes)", twisted_lines, 1.5, True),
    (
        "length:4, feed",
        lambda: feed("length:4"),
        "asyncio readexactly(4), readexactly(n)",
        asyncio_readexactly,
        4.0,
        True,
    ),
    ("netstring, feed", lambda: feed("netstring"), "Twisted NetstringReceiver", twisted_netstrings, 3.0, True),
    ("json, feed", lambda: feed("json"), "msgspec.json.decode over ready lines", bare_json, 0.8, True),
    ("lines, encode 1 000 str", lambda: encode("lines"), 'b"\\n".join of as many bytes', bare_join, 1.3, False),
    (
        "lines:encoding=none, encode 1 000 bytes",
        lambda: encode("lines:encoding=none"),
        'b"\\n".join of as many bytes',
        bare_join,
        1.3,
        False,
    ),
]

NAMES = [
    "chunks",
    "lines",
    "lines:crlf",
    "lines:encoding=none",
    r"delimited:\0",
    "fixed:64",
    "length:4",
    "length:3",
    "varint",
    "netstring",
    "octets",
    "content-length",
    "cobs",
    "slip",
    "json",
    "json-stream",
    "msgpack",
]


def cost(run: Run) -> float:
    """Nanoseconds a message: the best of three, so that one interruption does not count."""
    spent = []
    for _ in range(3):
        begin = time.perf_counter_ns()
        run()
        spent.append(time.perf_counter_ns() - begin)
    return min(spent) / COUNT


def compare(ours: Run, other: Run) -> tuple[float, float]:
    """Median costs of five rounds, each with both, and in turn who is first."""
    costs: tuple[list[float], list[float]] = ([], [])
    for round_number in range(ROUNDS):
        for index in (0, 1) if round_number % 2 else (1, 0):
            costs[index].append(cost((ours, other)[index]))
    return statistics.median(costs[0]), statistics.median(costs[1])


def compared() -> tuple[list[str], bool]:
    rows = [
        "| what | ours, ns a message | the other | ns a message | ratio | bar | |",
        "|---|---:|---|---:|---:|---:|---|",
    ]
    all_met = True
    for what, make_ours, name, make_other, bar, more_is_better in COMPARISONS:
        ours, other = compare(make_ours(), make_other())
        ratio = other / ours if more_is_better else ours / other
        met = ratio >= bar if more_is_better else ratio <= bar
        all_met = all_met and met
        wanted, told = f"{'≥' if more_is_better else '≤'} {bar}", "met" if met else "**not met**"
        rows.append(f"| {what} | {ours:.0f} | {name} | {other:.0f} | {ratio:.2f} | {wanted} | {told} |")
        print(rows[-1], file=sys.stderr)
    return rows, all_met


def absolute() -> list[str]:
    rows = [
        "| framing | feed | messages a second | encode 1 000 | encode each |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in NAMES:
        runs = [encode(name), encode_each(name)]
        costs = [statistics.median(cost(run) for _ in range(ROUNDS)) for run in runs]
        if name == "chunks":
            rows.append(f"| `{name}` | | | {costs[0]:.0f} | {costs[1]:.0f} |")
            continue
        run = feed(name)
        fed = statistics.median(cost(run) for _ in range(ROUNDS))
        rows.append(f"| `{name}` | {fed:.0f} | {1e9 / fed / 1e6:.1f} M | {costs[0]:.0f} | {costs[1]:.0f} |")
        print(rows[-1], file=sys.stderr)
    return rows


def machine() -> str:
    """Where this was measured."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("msgspec", "Twisted"))
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{model}; {versions}."
    )


PROSE = """# How fast the framings are

Written by `make bench-framing`; do not edit.

<!-- measured: machine -->
{machine}
<!-- end -->

Codecs alone, without sockets, on one core: {count} messages of 64 bytes (JSON and MessagePack: of {size} bytes as JSON)
in chunks of 64 KiB that do not end where messages end; every message ends up in a list. Each figure is the median of
{rounds} rounds of the best of three runs; the two sides of a ratio are measured in turns in one run. The garbage
collector is off. Other programs share the machine: ratios travel better than nanoseconds.

## Against others

Ratio: how many times faster we are; for encoding, how many times the cost of the bare join. That join checks nothing;
we look for line ends inside the messages, which means to read each message twice, and turn text into bytes.

<!-- measured: comparison -->
{compared}
<!-- end -->

## Every framing

Nanoseconds a message: decoding, encoding a thousand in one call, and encoding one a call.

<!-- measured: framings -->
{absolute}
<!-- end -->
"""


def main() -> int:
    """Measure everything, write the page; 1 when a bar was not met."""
    gc.disable()
    rows, all_met = compared()
    page = PROSE.format(
        machine=machine(),
        count=COUNT,
        size=len(encoded("json")) // COUNT,
        rounds=ROUNDS,
        compared="\n".join(rows),
        absolute="\n".join(absolute()),
    )
    PAGE.write_text(page)
    print(f"wrote {PAGE}", file=sys.stderr)
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
