"""The relay between programs that nobody here wrote."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from socketkit import Address
from support.programs import PATIENCE, Program, needs, socketkit


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def relaying(target: str, *arguments: str, at: str = "tcp://127.0.0.1:0") -> Iterator[tuple[Program, Address]]:
    with socketkit("relay", at, target, *arguments) as relay:
        yield relay, relay.address()


@contextlib.contextmanager
def serving(*command: str, port: int, **options: object) -> Iterator[Program]:
    """A foreign server, from when somebody can reach it."""
    with Program(*command, **options) as server:
        with socketkit("wait", f"127.0.0.1:{port}") as wait:
            assert wait.wait() == 0, (wait.stderr_lines, server.stderr_lines)
        yield server


def run(*command: str, status: int = 0, **options: object) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE * 2, **options)
    assert done.returncode == status, (command, done.returncode, done.stderr)
    return done.stdout


@pytest.mark.slow
def test_redis_benchmark_through_relay(tmp_path: Path) -> None:
    """Redis benchmark cannot report the difference."""
    server, client, port = needs("redis-server"), needs("redis-benchmark"), free_port()
    settings = ("--port", str(port), "--save", "", "--bind", "127.0.0.1", "--dir", str(tmp_path))
    with serving(server, *settings, port=port), relaying(f"127.0.0.1:{port}") as (relay, address):
        what = ("-n", "2000", "-c", "20", "-t", "ping,set,get,lrange_100", "-d", "1000", "--csv")
        output = run(client, "-h", address.host, "-p", str(address.port), *what).decode()
        assert all(f'"{name}' in output for name in ("PING_INLINE", "SET", "GET", "LRANGE_100"))
        pipelined = run(client, "-h", address.host, "-p", str(address.port), *what, "-P", "50").decode()
        assert '"LRANGE_100' in pipelined
        assert relay.stop() == 0
        assert len(relay.stderr_lines) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_curl_takes_a_large_download_whole(tmp_path: Path, kind: str) -> None:
    curl, port = needs("curl"), free_port()
    data = random.Random(3).randbytes(32 * 1024 * 1024)
    (tmp_path / "big").write_bytes(data)
    at = "tcp://127.0.0.1:0" if kind == "tcp" else f"unix://{tmp_path}/relay"
    http = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(tmp_path))
    with serving(*http, port=port, env={"PYTHONWARNINGS": ""}), relaying(f"127.0.0.1:{port}", at=at) as (_, address):
        where = f"http://127.0.0.1:{address.port}/big" if kind == "tcp" else "http://localhost/big"
        way = () if kind == "tcp" else ("--unix-socket", address.path)
        got = run(curl, "-sS", "--noproxy", "*", *way, where)
        assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


@pytest.mark.slow
def test_interrupted_curl_leaves_nothing(tmp_path: Path) -> None:
    """Curl that breaks off leaves nothing behind."""
    curl, port = needs("curl"), free_port()
    (tmp_path / "big").write_bytes(bytes(64 * 1024 * 1024))
    http = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(tmp_path))
    with serving(*http, port=port, env={"PYTHONWARNINGS": ""}), relaying(f"127.0.0.1:{port}", "-v") as (relay, address):
        where = f"http://127.0.0.1:{address.port}/big"
        before = len(os.listdir(f"/proc/{relay.process.pid}/fd"))
        for _ in range(3):
            run(curl, "-sS", "--noproxy", "*", "-r", "0-9", "--max-filesize", "5", where, status=63)
        with Program(curl, "-sS", "--noproxy", "*", "--limit-rate", "100k", where) as slow:
            assert slow.process.stdout is not None
            slow.process.stdout.read(50_000)
            slow.process.kill()
        relay.wait_line("] closed,", 8)
        assert len(os.listdir(f"/proc/{relay.process.pid}/fd")) <= before
        assert relay.stop() == 0


@pytest.mark.slow
def test_tls_goes_through_untouched(tmp_path: Path) -> None:
    openssl, port = needs("openssl"), free_port()
    key, cert = str(tmp_path / "key"), str(tmp_path / "cert")
    request = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    run(openssl, *request, "-subj", "/CN=localhost", "-keyout", key, "-out", cert)
    server = (openssl, "s_server", "-accept", f"127.0.0.1:{port}", "-key", key, "-cert", cert, "-rev", "-quiet")
    with serving(*server, port=port), relaying(f"127.0.0.1:{port}") as (_, address):
        where = f"127.0.0.1:{address.port}"
        client = (
            openssl,
            "s_client",
            "-connect",
            where,
            "-CAfile",
            cert,
            "-verify_return_error",
            "-quiet",
            "-no_ign_eof",
        )
        with Program(*client) as talk:
            assert talk.process.stdin is not None and talk.process.stdout is not None
            talk.process.stdin.write(b"hello\n")
            talk.process.stdin.flush()
            assert talk.process.stdout.readline() == b"olleh\n"


@pytest.mark.slow
def test_long_silence_is_free() -> None:
    """A long silence costs nothing and ends nothing."""
    with socketkit("echo", "tcp://127.0.0.1:0") as echo, relaying(str(echo.address())) as (relay, address):
        with socket.create_connection((address.host, address.port), timeout=PATIENCE) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            before = cpu_ticks(relay)
            time.sleep(2)  # the silence is what this is about
            assert cpu_ticks(relay) - before <= 2, "ticks of 10 ms"
            sock.sendall(b"y")
            assert sock.recv(1) == b"y"


def cpu_ticks(program: Program) -> int:
    path = Path(f"/proc/{program.process.pid}/stat")
    if not path.exists():
        pytest.skip("this system has no /proc")
    facts = path.read_text().rpartition(")")[2].split()
    return int(facts[11]) + int(facts[12])


@pytest.mark.slow
def test_killed_peers_leave_nothing(tmp_path: Path) -> None:
    """socat's own programs at both ends, killed while they talk."""
    socat, dice = needs("socat"), random.Random(11)
    place = f"{tmp_path}/target"
    with Program(socat, f"UNIX-LISTEN:{place},fork", "EXEC:cat") as target:
        with socketkit("wait", f"unix://{place}") as wait:
            assert wait.wait() == 0
        with relaying(f"unix://{place}", at=f"unix://{tmp_path}/relay") as (relay, address):
            folder = f"/proc/{relay.process.pid}/fd"
            if not os.path.isdir(folder):
                pytest.skip("this system has no /proc")
            before = len(os.listdir(folder))
            for _ in range(12):
                with Program(socat, "-u", "OPEN:/dev/zero", f"UNIX-CONNECT:{address.path}") as client:
                    threading.Event().wait(dice.uniform(0.0, 0.15))
                    client.process.kill()
            for _ in range(200):
                if len(os.listdir(folder)) <= before:
                    break
                threading.Event().wait(0.05)
            assert len(os.listdir(folder)) <= before
            assert relay.stop() == 0
        assert target.process.poll() is None
        assert sorted(path.name for path in tmp_path.iterdir()) == ["target"]


@pytest.mark.slow
def test_iperf_both_directions_parallel() -> None:
    """Iperf in both directions and in parallel."""
    iperf, port = needs("iperf3"), free_port()
    with Program(iperf, "-s", "--forceflush", "-B", "127.0.0.1", "-p", str(port)) as server:
        assert server.process.stdout is not None
        while b"listening" not in server.process.stdout.readline():
            pass
        with relaying(f"127.0.0.1:{port}") as (relay, address):
            for extra in ((), ("-R",), ("-P", "4")):
                output = run(iperf, "-c", address.host, "-p", str(address.port), "-n", "64M", *extra)
                assert b"receiver" in output
            assert relay.stop() == 0
