"""Ctrl-Z at a terminal stops the command, the shell goes on, and `fg` resumes it, each time with the right modes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.programs import PATIENCE, echo_server, needs, socketkit

_ORDER = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COMMAND = f"{sys.executable} -m socketkit"


class Shell:
    """An interactive bash with job control, at a terminal of its own."""

    def __init__(self, terminal: str = "xterm") -> None:
        bash = needs("bash")
        self._master, self._slave = pty.openpty()
        termios.tcsetwinsize(self._slave, (24, 200))
        self._seen = ""
        # Else the terminal's answer to "where is the cursor" could come when the editor is stopped already.
        names = {"TERM": terminal, "NO_COLOR": "1", "PS1": "shell% ", "PROMPT_TOOLKIT_NO_CPR": "1", "IGNOREEOF": "99"}
        environment = {**os.environ, **names}
        self.process = subprocess.Popen(
            [bash, "--norc", "--noprofile", "--noediting", "-i"],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.sees("shell% ")

    def modes(self) -> list:
        return termios.tcgetattr(self._slave)

    def wait_modes(self, wanted) -> None:
        """Wait until the terminal's modes are so."""
        last = time.monotonic() + PATIENCE
        while not wanted(self.modes()):
            assert time.monotonic() < last, self.modes()
            self._read(0.01)

    def sees(self, text: str) -> str:
        """Wait until this text has come since the last call; all that came until its end."""
        last = time.monotonic() + PATIENCE
        while text not in (seen := _ORDER.sub("", self._seen)):
            assert time.monotonic() < last, (text, self._seen)
            self._read(last - time.monotonic())
        before, self._seen = seen.split(text, 1)
        return before + text

    def _read(self, seconds: float) -> None:
        if select.select([self._master], [], [], max(0.0, seconds))[0]:
            self._seen += os.read(self._master, 65536).decode(errors="replace")

    def types(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def ends(self, key: str) -> None:
        """Type this key until the shell has the terminal again: one typed while the modes change is lost."""
        last = time.monotonic() + PATIENCE
        while self.foreground() != self.process.pid:
            assert time.monotonic() < last, self._seen
            self.types(key)
            again = time.monotonic() + 0.5
            while self.foreground() != self.process.pid and time.monotonic() < again:
                self._read(0.02)
        self.sees("shell% ")

    def foreground(self) -> int:
        """The group of processes that has the terminal."""
        return os.tcgetpgrp(self._master)

    def close(self) -> None:
        group = self.foreground()
        if group != self.process.pid:
            os.killpg(group, signal.SIGKILL)
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._master)
        os.close(self._slave)


@contextmanager
def shell(terminal: str = "xterm") -> Iterator[Shell]:
    it = Shell(terminal)
    try:
        yield it
    finally:
        it.close()


def is_editing(modes: list) -> bool:
    return not modes[3] & (termios.ICANON | termios.ECHO)


def suspend_and_resume(it: Shell, *, edits: bool, by_signal: bool = False) -> None:
    """Stop what is in the foreground, look at the shell, and resume it."""
    group = it.foreground()
    assert group != it.process.pid
    if by_signal:
        os.killpg(group, signal.SIGTSTP)
    else:
        it.types("\x1a")
    it.sees("Stopped")
    it.sees("shell% ")
    assert it.foreground() == it.process.pid
    at_shell = it.modes()
    assert at_shell[3] & termios.ICANON
    assert at_shell[3] & termios.ECHO
    it.types("echo shell-$((40 + 2))\n")
    it.sees("shell-42")
    it.sees("shell% ")
    it.types("fg\n")
    it.sees("socketkit")
    it.wait_modes(lambda modes: is_editing(modes) == edits and it.foreground() == group)


@pytest.mark.parametrize("by_signal", [False, True])
@pytest.mark.parametrize(("terminal", "edits"), [("xterm", True), ("dumb", False)])
def test_connect_is_suspended_and_resumed(terminal: str, edits: bool, by_signal: bool) -> None:
    """Ctrl-Z, fg, and again: each time lines still go out and answers come; at the end the modes are as before."""
    with echo_server() as (_, address), shell(terminal) as it:
        before = it.modes()
        it.types(f"{COMMAND} connect {address} -v\n")
        it.sees("connected to")
        it.wait_modes(lambda modes: is_editing(modes) == edits)
        for number in range(2):
            it.types(f"line {number}\r")
            it.sees("received 7 bytes")
            suspend_and_resume(it, edits=edits, by_signal=by_signal)
        it.types("line 9\r")
        it.sees("received 7 bytes")
        it.ends("\x04")
        assert it.modes() == before


@pytest.mark.parametrize("verb", ["listen", "chat host"])
def test_listen_and_chat_are_suspended_and_resumed(verb: str) -> None:
    """A listener and the host of a chat go on after fg with the client that they had."""
    with shell() as it:
        before = it.modes()
        it.types(f"{COMMAND} {verb} tcp://127.0.0.1:0\n")
        it.sees("listening tcp://127.0.0.1:")
        port = int(re.search(r"\d+", it.sees("\n")).group())
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b"first\n")
            it.sees("first")
            it.wait_modes(is_editing)
            suspend_and_resume(it, edits=True)
            client.sendall(b"second\n")
            it.sees("second")
            it.types("answer\r")
            data = b""
            while b"answer\n" not in data:
                piece = client.recv(4096)
                assert piece, data
                data += piece
        it.ends("\x03" if verb == "chat host" else "\x04")
        assert it.modes() == before


def test_chat_guest_is_suspended_and_resumed() -> None:
    """A guest of a chat goes on after fg, and gets what was said meanwhile."""
    with socketkit("chat", "host", "tcp://127.0.0.1:0", "--name", "host") as host, shell() as it:
        before = it.modes()
        it.types(f"{COMMAND} chat join {host.address()} --name gast\n")
        it.wait_modes(is_editing)
        suspend_and_resume(it, edits=True)
        host.process.stdin.write(b"hello gast\n")
        host.process.stdin.flush()
        it.sees("hello gast")
        it.ends("\x04")
        assert it.modes() == before
