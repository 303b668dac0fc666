"""`chat host --bus`: real programs on a real broker, both killed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from cli.commands.test_chat_store import guest
from socketkit.apps.chat.store import read_messages
from support.brokers import PASSWORD, broker
from support.programs import PATIENCE, Program, socketkit


def host(url: str, path: Path, name: str) -> Program:
    arguments = ["--bus", url, "--store", str(path), "--name", name, "--lang", "en"]
    return socketkit("chat", "host", "tcp://127.0.0.1:0", *arguments, stdout=subprocess.DEVNULL)


def read_all(program: Program, seen: list[str]) -> threading.Thread:
    """Note what guests say, until the connection ends."""
    sock, file = guest(program.address())

    def read() -> None:
        with sock, file, contextlib.suppress(OSError):
            for line in file:
                if line.endswith(b"\n") and not line.startswith((b"*", b"[")):
                    seen.append(line.decode().split(": ", 1)[1].rstrip("\n"))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis", "nats"])
def test_killed_host_and_killed_bus(kind: str, tmp_path: Path) -> None:
    """SIGKILL of a host while a guest speaks, of the bus too: what anybody has seen is in both stores, once."""
    seen: list[str] = []
    paths = [tmp_path / "one.db", tmp_path / "other.db"]
    with broker(kind, tmp_path) as server, host(server.url(), paths[1], "Ben") as other:
        readers = [read_all(other, seen)]
        for run, is_bus_killed in enumerate((False, True, False)):
            with host(server.url(), paths[0], "Ann") as one:
                readers.append(read_all(one, seen))
                sock, _ = guest(one.address())
                before = len(seen)
                with sock, contextlib.suppress(OSError):
                    for number in range(400):
                        sock.sendall(b"run %d line %d\n" % (run, number))
                        if number == 150 and is_bus_killed:
                            server.kill()
                        if number >= 200 and len(seen) > before + 20:
                            one.process.send_signal(signal.SIGKILL)
                one.process.kill()
                one.wait()
            if is_bus_killed:
                server.start()
        with host(server.url(), paths[0], "Ann") as one:  # reads what it has missed, and publishes what it has not
            readers.append(read_all(one, seen))
            sock, _ = guest(one.address())
            with sock:
                sock.sendall(b"the end\n")
                deadline = threading.Event()
                for _ in range(int(PATIENCE * 20)):
                    if seen.count("the end") >= 2:
                        break
                    deadline.wait(0.05)
                assert seen.count("the end") >= 2
            assert one.stop() == 0
        assert other.stop() == 0
    for reader in readers:
        reader.join(PATIENCE)
    for path in paths:
        kept = Counter(message.text for message in read_messages(str(path)))
        assert set(kept.values()) == {1}
        assert set(seen) <= set(kept)
    assert PASSWORD not in "\n".join(other.stderr_lines)


def test_bus_that_cannot_be_used() -> None:
    for address, reason in (("kafka://u:secret@h", "allowed is"), ("redis://:secret@h:1?x", "allowed is")):
        with socketkit("chat", "host", "tcp://127.0.0.1:0", "--bus", address) as program:
            assert program.wait() == 2
            (line,) = program.stderr_lines
            assert reason in line and "secret" not in line


@pytest.mark.parametrize("kind", ["redis", "nats"])
def test_example_of_two_hosts(kind: str, tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "examples" / "chat_two_hosts.py"
    with broker(kind, tmp_path) as server:
        done = subprocess.run(
            [sys.executable, str(example), server.url()], capture_output=True, text=True, timeout=3 * PATIENCE
        )
    assert done.returncode == 0, done.stderr
    said, private, here = done.stdout.splitlines()
    assert said == "Alice: hello from the first host"
    assert private == "Bob (private): hello from the second"
    assert {"Alice", "Bob (you)"} == set(here.removeprefix("* here: ").split(", "))
