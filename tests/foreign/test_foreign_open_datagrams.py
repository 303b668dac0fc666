"""Datagrams without sessions, with logger, nc and socat at the other end."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from socketkit import open_datagrams
from support.programs import PATIENCE, Program, needs

EXAMPLE = Path(__file__).parents[2] / "examples" / "syslog_receiver.py"


@pytest.mark.parametrize("style", ["--rfc3164", "--rfc5424"])
def test_logger(style: str) -> None:
    """The example receives what logger sends, by either RFC."""
    path = needs("logger")
    with Program(sys.executable, str(EXAMPLE), "udp4://127.0.0.1:0") as receiver:
        port = receiver.wait_line("receiving at").rpartition(":")[2]
        subprocess.run(
            [path, "-d", "-n", "127.0.0.1", "-P", port, style, "-p", "user.err", "-t", "trial", "hello"],
            check=True,
            timeout=PATIENCE,
        )
        assert receiver.process.stdout is not None
        line = receiver.process.stdout.readline().decode()
    assert line.startswith("udp://127.0.0.1:")
    assert " error: " in line and "trial" in line and line.endswith("hello\n")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"<13>hello\n", ("notice", "hello")),
        (b"<191>x", ("debug", "x")),
        (b"<192>x", ("notice", "<192>x")),
        (b"<>x", ("notice", "<>x")),
        (b"plain", ("notice", "plain")),
        (b"<0>\xff", ("emergency", "\\xff")),
        (b"", ("notice", "")),
    ],
)
def test_priorities(data: bytes, expected: tuple[str, str]) -> None:
    """A PRI out of range is text."""
    assert runpy.run_path(str(EXAMPLE))["severity_and_text"](data) == expected


def test_nc_asks_and_gets_an_answer() -> None:
    """Several nc clients side by side get an answer each."""
    path = needs("nc.openbsd")
    with open_datagrams("udp4://127.0.0.1:0") as datagrams:
        clients = [
            subprocess.Popen(
                [path, "-u", "-w", "1", "127.0.0.1", str(datagrams.local.port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(3)
        ]
        for number, client in enumerate(clients):
            assert client.stdin is not None
            client.stdin.write(b"%d" % number)
            client.stdin.flush()
        for _ in clients:
            message, address = datagrams.receive_from(timeout=PATIENCE)
            datagrams.send_to(b"got " + message, address)
        for number, client in enumerate(clients):
            output, _ = client.communicate(timeout=PATIENCE)
            assert output == b"got %d" % number


def test_socat_over_unix(tmp_path: Path) -> None:
    """A socat client with a name of its own gets the answer."""
    path = needs("socat")
    with open_datagrams(f"unixgram:{tmp_path}/server") as datagrams:
        client = subprocess.Popen(
            [path, "-t", "5", "-", f"UNIX-SENDTO:{tmp_path}/server,bind={tmp_path}/client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write(b"hello")
        client.stdin.flush()
        message, address = datagrams.receive_from(timeout=PATIENCE)
        assert address.path == f"{tmp_path}/client"
        datagrams.send_to(message + b"!", address)
        assert client.stdout.read(6) == b"hello!"
        client.terminate()
        client.communicate(timeout=PATIENCE)
