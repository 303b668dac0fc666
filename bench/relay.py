"""Our relay beside socat and haproxy (each as it comes, haproxy on one thread), and beside no relay at all.

`make bench` has small messages and throughput. `make bench-relay` (needs iperf3, socat, haproxy) has more: iperf3, a
crowd, a long transfer. Its rounds are interleaved and medians shown, because the machine is never quiet: figures of one
run may be compared with each other, and with those of no other run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

HAPROXY = """
global
  maxconn 4000
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen relay
  bind 127.0.0.1:{port}
  server target 127.0.0.1:{target}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    *command: str,
    port: int | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    before: Callable[[], None] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program, from when it listens to when it is told to stop; `before` runs in its process first."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
        preexec_fn=before,
    )
    try:
        deadline = time.monotonic() + 20
        while port is not None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} did not come up") from None
                time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def relay_of(name: str, target: int, folder: Path) -> tuple[list[str], int]:
    """The command of a relay to a target's port, and the port where it listens."""
    port = free_port()
    if name == "socketkit":
        return [
            sys.executable,
            "-m",
            "socketkit",
            "relay",
            f"tcp://127.0.0.1:{port}",
            f"tcp://127.0.0.1:{target}",
        ], port
    if name == "socat":
        listen = f"TCP4-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=1024"
        return ["socat", listen, f"TCP4:127.0.0.1:{target}"], port
    config = folder / f"haproxy-{port}.cfg"
    config.write_text(HAPROXY.format(port=port, target=target))
    return ["haproxy", "-q", "-f", str(config)], port


def throughput(port: int, seconds: float) -> float:
    """Gbit/s of one connection, as iperf3's receiver counts."""
    command = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", str(seconds), "-J"]
    for _ in range(5):  # its server serves one at a time, and may still be busy with the last
        done = subprocess.run(command, capture_output=True, timeout=60)
        told = json.loads(done.stdout)
        if "error" not in told:
            return float(told["end"]["sum_received"]["bits_per_second"]) / 1e9
        time.sleep(0.3)
    raise SystemExit(told["error"])


def latency(port: int, seconds: float) -> float:
    """Microseconds of a round trip of 64 bytes, the median of one connection's."""
    data, times = bytes(64), []
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            sock.sendall(data)
            left = 64
            while left:
                left -= len(sock.recv(left))
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def crowd(port: int, count: int = 500, rounds: int = 4) -> float:
    """Seconds until so many connections, all open at once, have each had their 16 KiB echoed so many times."""
    data = os.urandom(16 * 1024)
    began = time.perf_counter()
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(count)]
        for _ in range(rounds):
            for sock in socks:
                sock.sendall(data)
            for sock in socks:
                came = bytearray()
                while len(came) < len(data):
                    came += sock.recv(65536)
                assert came == data
    return time.perf_counter() - began


def big(port: int, size: int, pid: int) -> tuple[float, int, int]:
    """GB/s of so many bytes in one connection, and the relay's memory in KiB before, and at its highest."""
    before = resident(pid)
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        with subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=sock.fileno()) as head:
            peak = before
            while head.poll() is None:
                peak = max(peak, resident(pid))
                time.sleep(0.05)
        sock.shutdown(socket.SHUT_WR)
        told = sock.recv(100)
    assert int(told) == size, f"{told!r} of {size} bytes came"
    return size / (time.perf_counter() - began) / 1e9, before, peak


def resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def echo_server() -> int:
    """`socketkit echo`'s work by a plain thread a connection; its port."""

    def talk(sock: socket.socket) -> None:
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
            except OSError:
                pass

    return _serve(talk)


def counting_server() -> int:
    """Reads to the end, and says how many bytes came; its port."""

    def talk(sock: socket.socket) -> None:
        with sock:
            room, count = bytearray(1024 * 1024), 0
            while size := sock.recv_into(room):
                count += size
            sock.sendall(b"%d" % count)

    return _serve(talk)


def _serve(talk: Callable[[socket.socket], None]) -> int:
    """In a process of its own, so that it does not share our interpreter."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port: int = listener.getsockname()[1]
    if os.fork() == 0:
        parent = os.getppid()
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=talk, args=(sock,), daemon=True).start()
    listener.close()
    return port


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def compare(title: str, ports: dict[str, int], measure: Callable[[int], float], rounds: int, unit: str) -> None:
    """Print a row for each, by the medians of interleaved rounds."""
    results: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(rounds):
        for name, port in ports.items():
            results[name].append(measure(port))
    middle = {name: statistics.median(values) for name, values in results.items()}
    print(f"\n{title}\n\n| | {unit} | ours / theirs | of each round |\n|---|---|---|---|")
    for name, value in middle.items():
        ratio = statistics.median(a / b for a, b in zip(results["socketkit"], results[name], strict=True))
        each = " ".join(f"{one:.4g}" for one in results[name])
        print(f"| {name} | {value:.4g} | {ratio:.2f} | {each} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--big", type=int, default=10, help="GiB of the long transfer; 0: none")
    arguments = parser.parse_args()
    names = ["socketkit", *(name for name in ("socat", "haproxy") if shutil.which(name))]
    print(
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]}"
    )
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:

        def ports_to(target: int) -> dict[str, int]:
            ports = {}
            for name in names:
                command, port = relay_of(name, target, Path(folder))
                stack.enter_context(running(*command, port=port))
                ports[name] = port
            return ports

        echo = echo_server()
        ways = ports_to(echo)
        if shutil.which("iperf3"):
            target = free_port()
            stack.enter_context(running("iperf3", "-s", "-B", "127.0.0.1", "-p", str(target)))
            time.sleep(0.5)
            fast = {**ports_to(target), "direct": target}
            compare(
                "Throughput of one connection (iperf3)",
                fast,
                lambda port: throughput(port, arguments.seconds),
                arguments.rounds,
                "Gbit/s",
            )
        compare(
            "Round trip of 64 bytes", {**ways, "direct": echo}, lambda port: latency(port, 1.5), arguments.rounds, "µs"
        )
        compare("500 connections at once, 4 times 16 KiB echoed on each", ways, crowd, 3, "s")
        if arguments.big:
            command, port = relay_of("socketkit", counting_server(), Path(folder))
            with running(*command, port=port) as relay:
                speed, before, peak = big(port, arguments.big << 30, relay.pid)
            print(
                f"\n{arguments.big} GiB through one connection: {speed:.2f} GB/s; memory {before} KiB before,", end=" "
            )
            print(f"{peak} KiB at its highest")


if __name__ == "__main__":
    main()
