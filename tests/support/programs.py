"""Real programs for tests: ours and foreign ones, started, watched and ended by their own process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from socketkit import Address

PATIENCE = 20.0
"""Seconds after which a test gives up on a program; nothing waits so long unless it fails."""


def needs(program: str) -> str:
    """The path of a foreign program; the test skips, and says which, where it is not installed."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


class Program:
    """A process whose standard error is read as it comes.

    Attributes:
        process: the `subprocess.Popen`, with binary pipes.
        stderr_lines: lines of standard error so far, without their ends.
    """

    def __init__(self, *arguments: str, **options: Any) -> None:
        options.setdefault("stdin", subprocess.PIPE)
        options.setdefault("stdout", subprocess.PIPE)
        environment = {**os.environ, "PYTHONWARNINGS": "error", "NO_COLOR": "1", **options.pop("env", {})}
        self.process = subprocess.Popen(arguments, stderr=subprocess.PIPE, env=environment, **options)
        self.stderr_lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.stderr_lines.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_line(self, text: str, count: int = 1) -> str:
        """Wait until so many lines of standard error contain the text; the last of them."""

        def found() -> list[str]:
            return [line for line in self.stderr_lines if text in line]

        with self._news:
            came = self._news.wait_for(lambda: len(found()) >= count or not self._reader.is_alive(), PATIENCE)
            if not came or len(found()) < count:
                raise AssertionError(
                    f"{self.process.args!r} did not say {text!r} {count} times, but {self.stderr_lines!r}"
                )
            return found()[count - 1]

    def address(self, count: int = 1) -> Address:
        """The real address in the program's `listening` line; of several, the one of that number."""
        return Address.parse(self.wait_line("listening ", count).removeprefix("listening "))

    def communicate(self, data: bytes = b"") -> bytes:
        """Give it these bytes and the end; wait for its end; all that it wrote to standard output."""
        assert self.process.stdin is not None and self.process.stdout is not None
        stdin, stdout = self.process.stdin, self.process.stdout

        def give() -> None:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(data)
                stdin.close()

        giver = threading.Thread(target=give, daemon=True)
        giver.start()
        output = stdout.read()
        giver.join(PATIENCE)
        self.wait()
        return output

    def wait(self) -> int:
        """Wait for its end; its status, negative after a signal."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, and wait for its end."""
        self.process.send_signal(number)
        return self.wait()

    def communicate_at_stop(self) -> bytes:
        """Send it SIGTERM; all that it wrote to standard output, to the end. It has to end well."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        output: bytes = self.process.stdout.read()
        assert self.wait() == 0, self.stderr_lines
        return output

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def socketkit(*arguments: str, **options: Any) -> Program:
    """Our own command."""
    return Program(sys.executable, "-m", "socketkit", *arguments, **options)


def run_socketkit(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the command at 80 columns, without input; return its status, output and errors."""
    with socketkit(*arguments, env={"COLUMNS": "80", **environment}) as program:
        text = program.communicate().decode()
        return program.wait(), text, "\n".join(program.stderr_lines)


@contextlib.contextmanager
def echo_server(*arguments: str) -> Iterator[tuple[Program, Address]]:
    """`socketkit echo` at a free port of the loopback, listening."""
    with socketkit("echo", "tcp://127.0.0.1:0", *arguments) as server:
        yield server, server.address()


def free_port() -> int:
    """A port of the loopback where nobody listened a moment ago, for programs that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
