"""How one flooding connection delays the others: `python -m bench.fairness`.

A server echoes lines in a process of its own, on each engine. One client floods it with `x\\n`; another sends a
line and waits for the echo, again and again. Printed for each engine: the echo's median and worst time of all rounds,
and the server's processor time for each message of the flooder, with and without the turns that a flooder has to hand
over: the best round of each, since a shared machine only adds to it. The two take turns, in random order.
"""

from __future__ import annotations

import argparse
import random
import socket
import statistics
import subprocess
import sys
import threading
import time

from bench.machine import processor_ns

ENGINES = ("epoll", "poll", "select", "asyncio", "uvloop", "trio", "blocking")


def run_server(engine: str, has_turns: bool) -> None:
    """Serve until standard input ends."""
    from socketkit import serve
    from socketkit.connection import turn

    if not has_turns:
        turn.TURN_TIME = 1e9  # type: ignore[misc]

    async def echo(connection):  # type: ignore[no-untyped-def]
        async for message in connection:
            await connection.send(message)

    def echo_plainly(connection):  # type: ignore[no-untyped-def]
        for message in connection:
            connection.send(message)

    work = echo_plainly if engine == "blocking" else echo
    with serve(work, "tcp://127.0.0.1:0", engine=engine, framing="lines") as server:
        print(server.addresses[0].port, flush=True)
        sys.stdin.read()


def flood(port: int, ended: threading.Event, counts: list[int]) -> None:
    """Send without a pause, read every echo, and count the bytes."""
    sock = socket.create_connection(("127.0.0.1", port))

    def send() -> None:
        data = b"x\n" * 50_000
        try:
            while not ended.is_set():
                sock.sendall(data)
        except OSError:
            pass

    threading.Thread(target=send, daemon=True).start()
    while not ended.is_set():
        counts[0] += len(sock.recv(1 << 18))
    sock.close()


def run_flood(port: int, seconds: float) -> None:
    """Flood for so long, and print the count of messages."""
    ended, counts = threading.Event(), [0]
    threading.Timer(seconds, ended.set).start()
    flood(port, ended, counts)
    print(counts[0] / 2, flush=True)


def measure(engine: str, seconds: float, has_turns: bool) -> tuple[list[float], float]:
    """The times of the echoes in seconds, and the server's processor time in nanoseconds for each of the flooder's
    messages, which a busy machine changes less than their rate."""
    program = [sys.executable, "-m", "bench.fairness"]
    serving = [*program, "--serve", engine, *([] if has_turns else ["--no-turns"])]
    with subprocess.Popen(serving, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdin is not None
        port = int(server.stdout.readline())
        before = processor_ns(server.pid)
        flooding = [*program, "--flood", str(port), "--seconds", str(seconds + 1)]
        with subprocess.Popen(flooding, stdout=subprocess.PIPE, text=True) as flooder:
            time.sleep(0.5)
            times = time_echoes(port, seconds)
            assert flooder.stdout is not None
            count = float(flooder.stdout.readline())
            cost = (processor_ns(server.pid) - before) / count
        server.stdin.close()
    return times, cost


def time_echoes(port: int, seconds: float) -> list[float]:
    """The times of one echo after the other; infinite: none came."""
    times = []
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        last = time.perf_counter() + seconds
        while (began := time.perf_counter()) < last:
            sock.sendall(b"hello\n")
            try:
                sock.recv(100)
            except TimeoutError:
                return [*times, float("inf")]
            times.append(time.perf_counter() - began)
    return times


def compare(engine: str, rounds: int, seconds: float) -> None:
    """Print what turns do and cost on an engine."""
    times: list[float] = []
    costs: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        for has_turns in random.sample((True, False), 2):
            found, cost = measure(engine, seconds, has_turns)
            costs[has_turns].append(cost)
            times += found if has_turns else ()
    cost, free = min(costs[True]), min(costs[False])
    print(
        f"{engine:9} echo: median {statistics.median(times) * 1e3:.2f} ms, worst {max(times) * 1e3:.1f} ms, "
        f"{len(times)} echoes; {cost:.0f} ns a message of the flooder, {free:.0f} without turns "
        f"({(cost / free - 1) * 100:+.1f} %)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve")
    parser.add_argument("--no-turns", action="store_true")
    parser.add_argument("--flood", type=int)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("engines", nargs="*")
    given = parser.parse_args()
    if given.serve:
        run_server(given.serve, not given.no_turns)
    elif given.flood:
        run_flood(given.flood, given.seconds)
    else:
        for engine in given.engines or ENGINES:
            compare(engine, given.rounds, given.seconds)


if __name__ == "__main__":
    main()
