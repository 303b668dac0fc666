"""`--explain` beside strace(1), in one run: every socket call of the process is shown, in order, with its result."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from socketkit import Address
from support.connections import call
from support.programs import PATIENCE

STRACE = shutil.which("strace")
CALLS = "socket,bind,listen,connect,accept,accept4,sendto,recvfrom,sendmsg,recvmsg,shutdown,setsockopt,getsockopt"
NAMES = {"sendto": "send", "recvfrom": "recv", "accept4": "accept"}
NOT_SHOWN = ("SO_DOMAIN", "SO_TYPE", "SO_PROTOCOL", "TCP_INFO")
"""Python asks for the first three when it makes an object of a descriptor; the last is read for the report alone."""


@pytest.fixture(autouse=True, scope="module")
def _strace_works(tmp_path_factory):
    if STRACE is None:
        pytest.skip("strace is not installed")
    out = tmp_path_factory.mktemp("strace") / "true"
    done = subprocess.run([STRACE, "-o", str(out), "true"], capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        pytest.skip(f"strace cannot trace here: {done.stderr.strip()}")


def traced(path: Path) -> list[tuple[str, int, int | str]]:
    """The calls that strace saw: name, descriptor (-1 for socket), result or errno."""
    found = []
    for line in path.read_text(errors="replace").splitlines():
        match = re.match(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)(?: (E[A-Z]+))?", line)
        if match is None or any(f" {name}," in match[2] for name in NOT_SHOWN):
            continue
        name = NAMES.get(match[1], match[1])
        if match[1] in ("sendto", "recvfrom") and "sa_family" in match[2]:
            name = match[1]
        descriptor = -1 if name == "socket" else int(match[2].partition(",")[0])
        found.append((name, descriptor, match[4] or int(match[3])))
    return found


def explained(text: str) -> list[tuple[str, int, int | str]]:
    """The same, as `--explain` has shown it."""
    found = []
    for line in text.splitlines():
        match = re.match(r"(\w+)\(([^)]*)\) = (-?\d+)(?: (E[A-Z]+))?", line)
        if match is None or match[1] == "close":
            continue
        descriptor = -1 if match[1] == "socket" else int(match[2].partition(",")[0])
        result: int | str = match[4] or int(match[3])
        if match[1] == "getsockopt" and match[3] != "-1":
            result = 0  # shown is the value; the call itself returns 0
        found.append((match[1], descriptor, result))
    return found


def compare(tmp_path: Path, words: list[str], peer=None, data: bytes = b"hello\n") -> list[tuple[str, int, int | str]]:
    out = tmp_path / "strace"
    program = subprocess.Popen(
        [STRACE, "-f", "-e", f"trace={CALLS}", "-o", str(out), sys.executable, "-m", "socketkit", *words, "--explain"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    lines: list[str] = []

    def read() -> None:
        for raw in program.stderr:
            lines.append(raw.decode())
            if peer is not None and (match := re.match(r"listening (\S+)", lines[-1])):
                try:
                    peer(Address.parse(match[1]))
                except BaseException:
                    program.kill()
                    raise

    reader = threading.Thread(target=read)
    reader.start()
    try:
        program.stdin.write(data)
        program.stdin.close()
        program.stdout.read()
        program.wait(PATIENCE)
        reader.join(PATIENCE)
    finally:
        program.kill()
        program.wait()
        for pipe in (program.stdout, program.stderr):
            pipe.close()
    shown, real = explained("".join(lines)), traced(out)
    assert shown == real, "".join(lines) + out.read_text()
    assert shown
    return shown


def talk(address: Address) -> None:
    with call(address) as sock:
        sock.sendall(b"hello\n")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(100):
            pass


@pytest.fixture
def echo_port():
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock:
            while data := sock.recv(1000):
                sock.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.close()
    thread.join(PATIENCE)


def test_connect(tmp_path, echo_port):
    calls = compare(tmp_path, ["connect", f"tcp://127.0.0.1:{echo_port}"])
    assert ("send", calls[0][2], 6) in calls


def test_connect_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    calls = compare(tmp_path, ["connect", f"tcp://127.0.0.1:{port}"])
    assert [name for name, *_ in calls] == ["socket", "connect", "getsockopt"]


@pytest.mark.parametrize("verb", ["echo", "listen", "relay"])
def test_serve_one_client(tmp_path, verb, echo_port):
    words = {
        "echo": ["echo", "tcp://127.0.0.1:0", "--once"],
        "listen": ["listen", "tcp://127.0.0.1:0"],
        "relay": ["relay", "tcp://127.0.0.1:0", f"tcp://127.0.0.1:{echo_port}", "--once"],
    }[verb]
    if verb != "relay":
        with call(Address.parse(f"tcp://127.0.0.1:{echo_port}")):
            pass  # ends the fixture's server
    calls = compare(tmp_path, words, talk)
    assert {"socket", "bind", "listen", "accept"} <= {name for name, *_ in calls}


def test_echo_at_unix_path(tmp_path):
    calls = compare(tmp_path, ["echo", f"unix://{tmp_path}/s", "--once"], talk)
    assert "bind" in {name for name, *_ in calls}


def test_wait(tmp_path, echo_port):
    compare(tmp_path, ["wait", f"tcp://127.0.0.1:{echo_port}", "--for", "10s"])


def test_udp(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        calls = compare(tmp_path, ["connect", f"udp://127.0.0.1:{peer.getsockname()[1]}", "--reply-wait", "0.1s"])
    assert "send" in {name for name, *_ in calls}
