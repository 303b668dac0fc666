"""`chat host --store` and `chat export`: real programs, which are killed, and whose disk is full."""

from __future__ import annotations

import json
import resource
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from socketkit import Address
from support.programs import PATIENCE, Program, socketkit


def export(path: Path, *options: str) -> list[str]:
    with socketkit("chat", "export", str(path), *options) as program:
        output = program.communicate().decode()
        assert program.wait() == 0, program.stderr_lines
    return output.splitlines()


def guest(address: Address) -> tuple[socket.socket, IO[bytes]]:
    sock = socket.create_connection((address.host, address.port), timeout=PATIENCE)
    file = sock.makefile("rb")
    assert file.readline().startswith(b"* welcome")
    return sock, file


def seen_lines(file: IO[bytes], count: int) -> list[str]:
    """So many lines that guests have said; fewer where the connection ends."""
    lines: list[str] = []
    while len(lines) < count:
        line = file.readline()
        if not line.endswith(b"\n"):
            break
        if not line.startswith(b"* "):
            lines.append(line.decode().rstrip("\n"))
    return lines


@pytest.mark.parametrize("count", [1, 37, 400])
def test_killed_host_has_kept_what_was_seen(tmp_path: Path, count: int) -> None:
    """SIGKILL while guests speak: each line that a guest has seen is in the file, in the order in which it was seen."""
    path = tmp_path / "chat.db"
    with socketkit("chat", "host", "tcp://127.0.0.1:0", "--store", str(path), "--rate", "0") as host:
        address = host.address()
        (reader, seen), (speaker, answers) = guest(address), guest(address)
        with reader, seen, speaker, answers:

            def speak() -> None:
                try:
                    for number in range(100_000):
                        speaker.sendall(b"line %d\n" % number)
                except OSError:
                    pass  # the host is dead

            speaking = threading.Thread(target=speak)
            speaking.start()
            lines = seen_lines(seen, count)
            host.process.send_signal(signal.SIGKILL)
            lines += seen_lines(seen, sys.maxsize)
            speaking.join(PATIENCE)
    assert len(lines) >= count
    kept = [json.loads(line) for line in export(path, "--json")]
    assert [f"{each['name']}: {each['text']}" for each in kept][: len(lines)] == lines
    assert [each["id"] for each in kept] == list(range(1, len(kept) + 1))
    with socketkit("chat", "host", "tcp://127.0.0.1:0", "--store", str(path)) as host:  # and it goes on
        host.address()
        assert host.stop() == 0
    assert len(export(path)) == len(kept)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit(2) is Linux's")
def test_full_disk_does_not_stop_the_chat(tmp_path: Path) -> None:
    """A file that may not grow: lines go on, the host is told once, and with room again nothing is lost."""
    path = tmp_path / "chat.db"
    with socketkit("chat", "host", "tcp://127.0.0.1:0", "--store", str(path), "--rate", "0") as host:
        address = host.address()
        (alice, seen), (bob, _) = guest(address), guest(address)
        with alice, bob:
            bob.sendall(b"before\n")
            assert seen_lines(seen, 1) == ["guest2: before"]
            _, hard = resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE, (1, hard))
            bob.sendall(b"one\ntwo\n")
            assert seen_lines(seen, 2) == ["guest2: one", "guest2: two"]
            output = host.process.stdout
            assert output is not None
            while not (line := output.readline().decode()).startswith("* the store"):
                assert line
            assert "cannot be written" in line
            resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
            bob.sendall(b"three\n")
            while not (line := output.readline().decode()).startswith("* the store"):
                assert line.startswith("guest2: ")
            assert line == "* the store is written again: nothing was lost\n"
        assert host.stop() == 0
    texts = [json.loads(line)["text"] for line in export(path, "--json")]
    assert texts == ["before", "one", "two", "three"]


def test_full_disk_at_the_end_is_status_6(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with socketkit("chat", "host", "tcp://127.0.0.1:0", "--store", str(path)) as host:
        sock, _ = guest(host.address())
        with sock:
            resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            sock.sendall(b"lost\n")
            output = host.process.stdout
            assert output is not None
            while b"lost" not in output.readline():
                pass
        assert host.stop() == 6
        assert host.stderr_lines[-1].startswith(f"socketkit: {path}: 1 messages could not be written: ")


def test_export_while_the_host_writes(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with socketkit("chat", "host", "tcp://127.0.0.1:0", "--store", str(path)) as host:
        sock, _ = guest(host.address())
        with sock:
            sock.sendall("/name Оля\nпривет\n/me waves\n".encode())
            output = host.process.stdout
            assert output is not None
            while b"waves" not in output.readline():
                pass
            assert [line.split(" ", 2)[2] for line in export(path)] == ["[lobby] Оля: привет", "[lobby] ~ Оля waves"]
        assert host.stop() == 0


def test_export_into_a_closed_pipe(tmp_path: Path) -> None:
    from socketkit.apps.chat.message import Message
    from socketkit.apps.chat.store import Store

    store = Store(str(tmp_path / "chat.db"))
    for number in range(1, 5001):
        store.put(Message(number, 0.0, "lobby", "Alice", "say", "x" * 200))
    assert store.close() == 0
    with socketkit("chat", "export", str(tmp_path / "chat.db")) as program:
        assert program.process.stdout is not None
        program.process.stdout.readline()
        program.process.stdout.close()
        assert program.wait() == 0
        assert program.stderr_lines == []


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("export", "missing.db"), 1, "there is no such file"),
        (("host", "--store", "missing/chat.db"), 1, "No such file"),
        (("host", "--password-file", "missing"), 2, "No such file"),
        (("host", "--password-file", "/dev/null"), 2, "its first line is empty"),
        (("host", "--rate", "fast"), 2, "is no rate"),
        (("host", "--max-guests", "0"), 2, "1 or more"),
        (("host", "--history", "-1"), 2, "whole number"),
        (("host", "--lang", "xx"), 2, "'en', 'ru'"),
    ],
)
def test_wrong_options(arguments: tuple[str, ...], status: int, text: str, tmp_path: Path) -> None:
    with socketkit("chat", *arguments, cwd=str(tmp_path)) as program:
        assert program.communicate() == b""
        assert program.wait() == status
        assert text in program.stderr_lines[-1]
        assert not any("Traceback" in line or "listening" in line for line in program.stderr_lines)


def test_password_and_language(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("тайна\nsecond line\n")
    arguments = ("tcp://127.0.0.1:0", "--password-file", str(secret), "--lang", "ru")
    with socketkit("chat", "host", *arguments) as host:
        address = host.address()
        with socket.create_connection((address.host, address.port), timeout=PATIENCE) as sock:
            file = sock.makefile("rb")
            assert file.readline().decode() == "* нужен пароль: введите его\n"
            sock.sendall("тайна\n".encode())
            assert file.readline().decode().startswith("* добро пожаловать, вы guest1; здесь: host ")
        assert not any("тайна" in line for line in host.stderr_lines)


def rooms_with(program: Program, address: Address) -> None:
    """A guest of a program that is not ours changes rooms and speaks there."""
    output = program.process.stdout
    stdin = program.process.stdin
    assert output is not None and stdin is not None
    stdin.write(b"/join tea\nhello\n")
    stdin.flush()
    while b"you are in tea now" not in output.readline():
        pass
    sock, file = guest(address)
    with sock:
        sock.sendall(b"/join tea\n")
        while b"hello" not in (line := file.readline()):
            pass
        assert line.endswith(b"] guest1: hello\n")
        sock.sendall(b"/msg guest1 psst\n")
        while (line := output.readline().rstrip()) != b"guest2 (private): psst":
            assert line.startswith(b"* ")


@pytest.mark.parametrize("name", ["nc", "ncat", "socat"])
def test_foreign_guests_use_rooms(name: str) -> None:
    from support.programs import needs

    path = needs(name)
    with socketkit("chat", "host", "tcp://127.0.0.1:0") as host:
        address = host.address()
        where = (
            ("-", f"TCP:{address.host}:{address.port}") if name == "socat" else (str(address.host), str(address.port))
        )
        with Program(path, *where) as program:
            rooms_with(program, address)


def test_curl_is_refused() -> None:
    from support.programs import needs

    with socketkit("chat", "host", "tcp://127.0.0.1:0") as host:
        address = host.address()
        url = f"http://{address.host}:{address.port}/"
        with Program(needs("curl"), "-s", "--http0.9", "-i", "-d", "spam", url) as curl:
            assert b"400 Bad Request" in curl.communicate()
