"""A command that opens one socket loads what that needs, and nothing else."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from socketkit import __version__

LIGHT = ("ast", "asyncio", "dataclasses", "encodings.idna", "importlib.metadata", "inspect", "json", "logging", "rich")
LIGHT += ("multiprocessing", "prompt_toolkit", "ssl", "tempfile", "trio", "uvloop", "socketkit.tls.stream")
ROOMS = tuple(
    f"socketkit.{room}"
    for room in ("api", "blocking", "server.bind", "server.listener", "server.server", "server.workers")
)


def run(*words):
    """A command, and the modules that it has loaded until its end, beyond those of Python's own start."""
    program = [sys.executable, "-X", "importtime"]
    ended = [
        subprocess.run(
            [*program, *what], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50, check=False
        )
        for what in (["-m", "socketkit", *words], ["-c", "import runpy"])
    ]
    several = [
        {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
        for done in ended
    ]
    return ended[0], several[0] - several[1]


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version_loads_nothing(word):
    """The version is reported before anything is loaded."""
    done, modules = run(word)
    assert (done.returncode, done.stdout) == (0, f"socketkit {__version__}\n")
    assert {name for name in modules if not name.startswith("socketkit")} <= {"__future__", "gc"}
    assert {name for name in modules if name.startswith("socketkit.")} <= {"socketkit.cli", "socketkit.cli.main"}


def test_version_with_a_verb():
    """The version is reported wherever it is asked for."""
    done, _ = run("--version", "echo")
    assert (done.returncode, done.stdout) == (0, f"socketkit {__version__}\n")


def test_everything_is_rarely_looked_at():
    """Ten thousand connections are made without a collection of all objects, which would stop a server."""
    program = """
import gc
gc.disable()  # as `main` does
from socketkit.cli.registry import socketkit
socketkit.get_command(None, "chat")
before = gc.get_stats()[2]["collections"]
kept = [[] for _ in range(600_000)]
print(gc.isenabled(), gc.get_freeze_count() > 0, gc.get_stats()[2]["collections"] - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.split() == ["True", "True", "0"]


def test_connect_imports_no_server():
    """Connect loads neither a server nor what others need."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # nobody listens there
        done, modules = run("connect", f"tcp://127.0.0.1:{sock.getsockname()[1]}")
    assert done.returncode == 3
    assert "click" in modules
    assert "socketkit.engines.readiness" in modules
    assert not modules & {*LIGHT, *ROOMS}


def test_server_imports():
    """A server loads no more than it needs."""
    done, modules = run("echo", "tcp://127.0.0.1:0", "fd://999999")
    assert done.returncode == 3  # and the door before it was closed again
    assert "socketkit.server.server" in modules
    assert not modules & set(LIGHT)
