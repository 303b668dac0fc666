"""`socketkit relay`: real programs at both ends, statuses, lists, and what is left behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from socketkit import Address
from support.programs import PATIENCE, Program, echo_server, free_port, socketkit


@contextlib.contextmanager
def relaying(*targets: object, at: str = "tcp://127.0.0.1:0", arguments: tuple[str, ...] = ()) -> Iterator[Program]:
    with socketkit("relay", at, *map(str, targets), *arguments) as relay:
        relay.address()
        yield relay


@pytest.fixture
def closed() -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{sock.getsockname()[1]}"


def ask(address: Address, data: bytes) -> bytes:
    with socketkit("connect", str(address)) as client:
        output = client.communicate(data)
        assert (client.wait(), client.stderr_lines) == (0, [])
        return output


def call(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), timeout=PATIENCE)


def test_to_and_fro_quietly_and_a_drain() -> None:
    with echo_server() as (_, target), relaying(target) as relay:
        assert ask(relay.address(), b"hello\n" * 1000) == b"hello\n" * 1000
        assert relay.stop() == 0
        assert relay.stderr_lines == [f"listening {relay.address()}"]


@pytest.mark.slow
def test_a_unix_relay_leaves_no_file(tmp_path: Path) -> None:
    with echo_server() as (_, target), relaying(target, at=f"unix://{tmp_path}/in") as relay:
        assert ask(relay.address(), b"x") == b"x"
        assert relay.stop(signal.SIGINT) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_late_answer_through_relay() -> None:
    """What socat as it comes drops: its -t is half a second."""
    with socket.create_server(("127.0.0.1", 0)) as target:

        def answer() -> None:
            caller, _ = target.accept()
            with caller:
                caller.settimeout(PATIENCE)
                while caller.recv(100):
                    pass
                threading.Event().wait(0.8)
                caller.sendall(b"late")

        thread = threading.Thread(target=answer)
        thread.start()
        with relaying(f"127.0.0.1:{target.getsockname()[1]}") as relay:
            assert ask(relay.address(), b"q") == b"late"
        thread.join()


def test_no_target_is_reset_and_one_line(closed: str) -> None:
    """No one behind it is a reset and one line."""
    with relaying(closed) as relay:
        for _ in range(3):
            with pytest.raises(ConnectionResetError), call(relay.address()) as sock:
                sock.recv(1)
        assert relay.stop() == 0
        assert len(relay.stderr_lines) == 2 and "ECONNREFUSED" in relay.stderr_lines[1]


@pytest.mark.slow
def test_once_status_follows_connection(closed: str) -> None:
    """Once ends behind its client and with its status."""
    with echo_server() as (_, target), relaying(target, arguments=("--once",)) as relay:
        assert ask(relay.address(), b"x") == b"x"
        assert relay.wait() == 0
    with relaying(closed, arguments=("--once",)) as relay:
        with contextlib.suppress(ConnectionResetError), call(relay.address()) as sock:
            sock.recv(1)
        assert relay.wait() == 3
        assert len([line for line in relay.stderr_lines if line.startswith("socketkit: cannot connect")]) == 1
    with echo_server() as (_, target), relaying(target, arguments=("--once", "--idle-timeout", "100ms")) as relay:
        with call(relay.address()) as sock:
            assert sock.recv(1) == b""
        assert relay.wait() == 124


def test_sigterm_ends_idle_tunnels() -> None:
    """A stop ends those who are silent soon."""
    with echo_server() as (_, target), relaying(target, arguments=("-v",)) as relay, call(relay.address()) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        relay.process.send_signal(signal.SIGTERM)
        assert sock.recv(1) == b"", "the end, and no reset"
        assert relay.wait() == 0


@pytest.mark.slow
def test_several_targets_one_down(closed: str) -> None:
    """Several targets and one that is down."""
    with echo_server() as (_, target), relaying(closed, target, arguments=("--balance", "round-robin")) as relay:
        assert [ask(relay.address(), b"x") for _ in range(3)] == [b"x"] * 3
        assert len([line for line in relay.stderr_lines if "left alone for 1s" in line]) == 1


@pytest.mark.slow
def test_lists_and_the_access_log(tmp_path: Path) -> None:
    log = tmp_path / "access"
    options = ("--allow", "127.0.0.0/8", "--deny", "127.0.0.2", "--access-log", str(log), "-v")
    with echo_server() as (_, target), relaying(target, arguments=options) as relay:
        assert ask(relay.address(), b"12345") == b"12345"
        with socket.socket() as denied:
            denied.bind(("127.0.0.2", 0))
            denied.settimeout(PATIENCE)
            with pytest.raises(ConnectionResetError):
                denied.connect(("127.0.0.1", relay.address().port))
                denied.recv(1)
        relay.wait_line("was reset: its network is denied (--deny)")
        relay.wait_line("closed, 5 bytes received, 5 bytes sent", 2)
        assert relay.stop() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["end"], line["received"]) for line in lines] == [("done", 5), ("refused", 0)]


def test_stdio_as_relay_client() -> None:
    """As `connect`, without its care for terminals."""
    with echo_server() as (_, target), socketkit("relay", "-", str(target)) as relay:
        assert relay.communicate(b"hello\n" * 50_000) == b"hello\n" * 50_000
        assert (relay.wait(), relay.stderr_lines) == (0, [])


def test_closed_stdout_of_stdio_relay(tmp_path: Path) -> None:
    """A client who has read enough ends it quietly."""
    with socket.create_server(("127.0.0.1", 0)) as target:

        def pour() -> None:
            caller, _ = target.accept()
            with caller, contextlib.suppress(OSError):
                while True:
                    caller.sendall(b"x" * 100_000)

        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        with socketkit("relay", "-", f"127.0.0.1:{target.getsockname()[1]}") as relay:
            assert relay.process.stdout is not None
            relay.process.stdout.read(10)
            relay.process.stdout.close()
            assert (relay.wait(), relay.stderr_lines) == (0, [])
        thread.join(PATIENCE)


def test_stdio_relay_without_target_status_3(closed: str) -> None:
    """Without a target standard input ends with status 3."""
    with socketkit("relay", "-", closed) as relay:
        assert relay.communicate(b"x") == b""
        assert relay.wait() == 3


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stdio_relay_signal_status(number: signal.Signals, status: int) -> None:
    """A signal ends standard input's relay as a client."""
    with echo_server() as (_, target), socketkit("relay", "-", str(target), "-v") as relay:
        relay.wait_line("connected to")
        assert relay.stop(number) == status


def test_a_program_behind_it() -> None:
    """A child for each caller, who is heard out after the end."""
    with relaying("exec:sort") as relay:
        assert ask(relay.address(), b"b\na\n") == b"a\nb\n"
        assert ask(relay.address(), b"2\n1\n" * 10_000) == b"1\n" * 10_000 + b"2\n" * 10_000
        assert relay.stop() == 0
        assert len(relay.stderr_lines) == 1


def test_proxy_header_sent_to_target() -> None:
    """A target learns who calls from a header."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as target:

        def listen() -> None:
            caller, _ = target.accept()
            with caller, caller.makefile("rb") as file:
                heard.extend([file.readline(), file.read()])

        thread = threading.Thread(target=listen)
        thread.start()
        with relaying(f"127.0.0.1:{target.getsockname()[1]}", arguments=("--send-proxy", "v1")) as relay:
            port = relay.address().port
            with call(relay.address()) as sock:
                ours = sock.getsockname()[1]
                sock.sendall(b"hello")
            thread.join(PATIENCE)
    assert heard == [b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (ours, port), b"hello"]


def test_proxied_client_in_access_log(tmp_path: Path) -> None:
    """Who a proxy speaks for is in the log."""
    log = tmp_path / "access"
    options = ("--accept-proxy", "127.0.0.0/8", "--access-log", str(log), "-v")
    with echo_server() as (_, target), relaying(target, arguments=options) as relay:
        with call(relay.address()) as sock:
            sock.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 2000\r\nhello")
            assert sock.recv(5) == b"hello"
        relay.wait_line("closed, 5 bytes received, 5 bytes sent", 2)
        assert relay.stop() == 0
    [line] = [json.loads(line) for line in log.read_text().splitlines()]
    assert (line["client"], line["received"], line["end"]) == ("tcp://192.0.2.7:1000", 5, "done")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork(2)")
def test_workers_relay_and_are_replaced() -> None:
    """Workers put clients through and one that dies is replaced."""
    with echo_server() as (_, target), relaying(target, arguments=("--workers", "2", "-vv")) as relay:
        first = int(relay.wait_line("worker 0 is process").split()[-1])
        relay.wait_line("worker 1 is process")
        assert ask(relay.address(), b"hello\n") == b"hello\n"
        os.kill(first, signal.SIGKILL)
        relay.wait_line("worker 0 is process", 2)
        assert ask(relay.address(), b"again\n") == b"again\n"
        assert relay.stop() == 0


def test_metrics_count_what_is_put_through() -> None:
    with echo_server() as (_, target), relaying(target, arguments=("--metrics", "tcp://127.0.0.1:0")) as relay:
        url = relay.wait_line("metrics at ").split()[-1]
        assert ask(relay.address(), b"hello\n") == b"hello\n"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            lines = answer.read().decode().splitlines()
        assert 'socketkit_connections_total{side="accepted"} 1.0' in lines
        assert 'socketkit_connections_total{side="connected"} 1.0' in lines
        assert relay.stop() == 0


def test_relay_takeover(tmp_path: Path) -> None:
    """A new relay takes over and the old one finishes what it has."""
    arguments = ("--takeover", f"unix://{tmp_path}/takeover")
    with echo_server() as (_, target), relaying(target, arguments=arguments) as old, call(old.address()) as sock:
        sock.sendall(b"one")
        assert sock.recv(3) == b"one"
        with relaying(target, arguments=arguments) as new:
            assert new.address() == old.address()
            sock.sendall(b"two")
            assert sock.recv(3) == b"two"
            sock.close()
            assert old.wait() == 0
            assert ask(new.address(), b"three") == b"three"
            assert new.stop() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("tcp://127.0.0.1:0",),
        ("tcp://127.0.0.1:0", "nosuch://x"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--balance", "best"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--allow", "10.0.0.0/99"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--rate", "fast"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--idle-timeout", "0"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--max-connections", "0"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--send-proxy", "v3"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--bind", "localhost"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--workers", "2", "--once"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--workers", "2", "--takeover", "unix:///nowhere"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--workers", "2", "--metrics", "nosuch://x"),
    ],
)
def test_usage_errors_before_opening(arguments: tuple[str, ...]) -> None:
    """What cannot be is status 2 before anything is opened."""
    with socketkit("relay", *arguments) as program:
        assert (program.communicate(), program.wait()) == (b"", 2)
        assert len(program.stderr_lines) == 1 and "listening" not in program.stderr_lines[0]


def test_a_port_in_use_is_status_3() -> None:
    with echo_server() as (_, target), socketkit("relay", str(target), "127.0.0.1:1") as relay:
        assert relay.wait() == 3
        assert len(relay.stderr_lines) == 1


def test_unopenable_log_before_listening(tmp_path: Path) -> None:
    """A log that cannot be opened is said before anything is."""
    with socketkit("relay", "tcp://127.0.0.1:0", ":1", "--access-log", str(tmp_path / "no" / "log")) as relay:
        assert relay.wait() == 1
        assert len(relay.stderr_lines) == 1 and "no/log" in relay.stderr_lines[0]


@pytest.mark.slow
def test_verbose_levels() -> None:
    """V reports connections and vv what passes."""
    with echo_server() as (_, target), relaying(target, arguments=("-v",)) as relay:
        ask(relay.address(), b"hello")
        relay.wait_line("closed, 5 bytes received, 5 bytes sent", 2)
        assert not any('"hello"' in line for line in relay.stderr_lines)
    with echo_server() as (_, target), relaying(target, arguments=("-vv",)) as relay:
        ask(relay.address(), b"hello")
        relay.wait_line('received 5 bytes "hello"', 2)


def descriptors_of(program: Program) -> int:
    return len(os.listdir(f"/proc/{program.process.pid}/fd"))


@pytest.mark.slow
def test_no_descriptor_leak_over_hundreds(closed: str) -> None:
    """Hundreds of calls of all kinds leave no descriptor."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system has no /proc")
    with echo_server() as (_, target), relaying(target, closed, arguments=("--balance", "round-robin")) as relay:
        address = relay.address()
        ask(address, b"x")
        before = descriptors_of(relay)
        for number in range(300):
            with contextlib.suppress(ConnectionResetError), call(address) as sock:
                sock.sendall(b"x" * (200_000 if number % 50 == 0 else 10))
                if number % 3 == 0:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                elif number % 3 == 1:
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
        ask(address, b"x")
        for _ in range(100):
            if descriptors_of(relay) <= before:
                break
            threading.Event().wait(0.05)
        assert descriptors_of(relay) <= before
        assert relay.stop() == 0


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_relay_to_itself_is_refused(workers: tuple[str, ...]) -> None:
    """One client would open connections without end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with socketkit("relay", f"localhost:{port}", f"127.0.0.1:{port}", *workers) as relay:
        assert relay.wait() == 2
        assert relay.stderr_lines == [
            f"socketkit: tcp://127.0.0.1:{port}: the relay listens there itself (tcp://localhost:{port}), "
            "and would connect to itself"
        ]


def test_access_log_pipe_without_reader(tmp_path: Path) -> None:
    """A reader of the access log that stands still stops neither connections nor the signal."""
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4096)
        with echo_server() as (_, target), relaying(target, arguments=("--access-log", str(pipe))) as relay:
            address = relay.address()
            for _ in range(60):
                with call(address) as client:
                    client.sendall(b"12345")
                    client.shutdown(socket.SHUT_WR)
                    assert client.makefile("rb").read() == b"12345"
            assert relay.stop() == 0
            assert re.fullmatch(r"socketkit: the access log misses \d+ lines at its end", relay.stderr_lines[-1])
        lines = os.read(descriptor, 1 << 16).splitlines()
        assert all(json.loads(line)["end"] == "done" for line in lines)
    finally:
        os.close(descriptor)


def test_verbose_ties_both_sides(closed: str) -> None:
    """`-v` has a line with client, target and one number, and at the end one with the bytes and the reason."""
    with echo_server() as (_, target), relaying(target, arguments=("-v",)) as relay:
        with call(relay.address()) as sock:
            client = "tcp://{}:{}".format(*sock.getsockname())
            sock.sendall(b"hello")
            assert sock.recv(5) == b"hello"
            started = relay.wait_line(f"relaying {client} to {target}, which is [")
        number = started.partition(" ")[0]
        ended = relay.wait_line(f"{number} relayed {client} to {target}, 5 bytes there, 5 bytes back, ")
        assert ended.endswith("s, done")
    with relaying(closed, arguments=("-v",)) as relay:
        with contextlib.suppress(ConnectionResetError), call(relay.address()) as sock:
            client = "tcp://{}:{}".format(*sock.getsockname())
            sock.recv(1)
        assert "unreachable: cannot connect to" in relay.wait_line(f"relayed {client}, 0 bytes there, 0 bytes back, ")


def test_own_address_in_other_words(tmp_path: Path) -> None:
    """A relay whose target is itself is refused before it listens: as a number, by name, by wildcard, by path."""
    port = free_port()
    path = tmp_path / "s"
    for listening, target in (
        (f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}"),
        (f"tcp://127.0.0.1:{port}", f"tcp://localhost:{port}"),
        (f"tcp://:{port}", f"tcp://{socket.gethostname()}:{port}"),
        (f"unix://{path}", f"unix://{tmp_path}/./s"),
    ):
        with socketkit("relay", listening, target) as relay:
            assert relay.wait() == 2, relay.stderr_lines
            assert len(relay.stderr_lines) == 1 and "would connect to itself" in relay.stderr_lines[0]
