"""A child process at a pseudo-terminal, pty(7), as a stream: what it writes to its terminal is received.

The child leads a session of its own, and the terminal controls it: job control, Ctrl-C as a byte, and /dev/tty work.
Its standard error is the terminal too. Closing the stream hangs the terminal up: the child gets SIGHUP (termios(3)).
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from socketkit.engines.engine import Engine
from socketkit.streams.process import ChildStream, environment_with, system_text

__all__ = ["TerminalChildStream", "start_terminal_child"]

_DEFAULT_SIZE: Final = (24, 80)
"""Rows and columns where none of our standard descriptors is a terminal: those of a VT100."""


def start_terminal_child(
    engine: Engine, command: Sequence[str], *, address: str, variables: Mapping[str, str | None] | None = None
) -> TerminalChildStream:
    """Start a program at a new pseudo-terminal, without a shell; returns when it runs.

    The terminal has the system's modes (echo, lines, NL as CR NL), and the size of our own terminal, else 24 rows and
    80 columns. The child inherits descriptors 0, 1 and 2 only: all three are the terminal.

    Args:
        engine: the engine on which the stream waits.
        command: the program, looked up in PATH, and its arguments.
        address: the address of the child, as text.
        variables: are added to its environment; a name with None is removed from it.

    Raises:
        OSError: it cannot be run: no such program (ENOENT), no right (EACCES), no terminal left (ENOSPC); or the system
            cannot give a child a controlling terminal (ENOTSUP).
    """
    if sys.platform == "win32" or not hasattr(os, "posix_spawnp"):
        raise OSError(errno.ENOTSUP, "this system has no pseudo-terminals for child processes")
    import termios

    master, slave = os.openpty()
    try:
        termios.tcsetwinsize(slave, _size())
        os.set_blocking(master, False)
        pid = _spawn(command, os.ttyname(slave), variables or {})
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    return TerminalChildStream(engine, _Process(pid), master, address=address)


def _size() -> tuple[int, int]:
    """Rows and columns of the terminal that we have."""
    for descriptor in (0, 1, 2):
        try:
            size = os.get_terminal_size(descriptor)
        except OSError:
            continue
        if size.lines and size.columns:
            return size.lines, size.columns
    return _DEFAULT_SIZE


def _spawn(command: Sequence[str], terminal: str, variables: Mapping[str, str | None]) -> int:
    # No code of ours runs in the child, so threads do no harm. It calls setsid(2), then it opens the terminal: the
    # first terminal that a session's leader opens without O_NOCTTY controls the session (Linux, macOS).
    words = [system_text(word) for word in command]
    actions: list[Any] = [(os.POSIX_SPAWN_CLOSE, number) for number in _inheritable()]
    actions.append((os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0))
    actions += [(os.POSIX_SPAWN_DUP2, 0, number) for number in (1, 2)]
    try:
        return os.posix_spawnp(
            words[0],
            words,
            environment_with(variables),
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP],  # Python ignores the first, nohup(1) the last
        )
    except NotImplementedError:  # posix_spawn(3) without POSIX_SPAWN_SETSID
        raise OSError(errno.ENOTSUP, "this system cannot give a child process a terminal") from None


def _inheritable() -> list[int]:
    """The descriptors from 3 on that a child would inherit. Python makes none, but some may have been given to us."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            numbers = sorted(int(name) for name in os.listdir(folder))
            break
        except OSError:
            continue
    else:
        numbers = list(range(3, min(os.sysconf("SC_OPEN_MAX"), 4096)))
    return [number for number in numbers if number > 2 and _is_inheritable(number)]


def _is_inheritable(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:
        return False  # that of the folder's listing


class _Process:
    """A child by its id, with the methods of `subprocess.Popen` that `ChildStream` uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._lock = threading.Lock()  # two threads must not wait for one child

    def poll(self) -> int | None:
        """Its status, negative after a signal; None while it runs."""
        with self._lock:
            if self.returncode is None:
                try:
                    found, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:
                    found, status = self.pid, 0  # another thread has waited for it, or SIGCHLD is ignored
                if found:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def wait(self) -> int:
        """Block this thread until it has exited; its status. Only where the system has no pidfd_open(2)."""
        while (status := self.poll()) is None:
            time.sleep(0.02)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has exited."""
        if self.poll() is None:
            os.kill(self.pid, number)


class TerminalChildStream(ChildStream):
    """The master side of a child's terminal, and the child. Made by `start_terminal_child`.

    `send_eof` types the character VEOF, which ends the input of a program that reads lines; a second one first where a
    line is begun. A terminal in raw mode has no end of input: nothing is sent then. The output goes on in any case.
    """

    def __init__(self, engine: Engine, process: _Process, master: int, *, address: str) -> None:
        self._terminal = master
        self._last_byte = b"\n"
        super().__init__(engine, process, master, master, address=address, own_session=True)

    def send_now(self, data: bytes | memoryview) -> int:
        count = super().send_now(data)
        if count:
            self._last_byte = bytes(data[count - 1 : count])
        return count

    async def send_eof(self, *, deadline: float | None = None) -> None:
        self._check_open()
        if not self._eof_sent:
            await self.send(self._end_of_input(), deadline=deadline)
            self._eof_sent = True

    def _end_of_input(self) -> bytes:
        """What ends the input of the program that reads the terminal now."""
        import termios

        try:
            *_, modes, _, _, characters = termios.tcgetattr(self._terminal)
        except termios.error:
            return b""  # hung up: the child has closed it
        if not modes & (
            termios.ICANON | termios.ISIG
        ):  # an editor of lines (readline) clears the first, not the second
            return b""
        end: bytes = characters[termios.VEOF]
        is_line_begun = modes & termios.ICANON and self._last_byte not in (b"\n", b"\r", end)
        return end * 2 if is_line_begun else end

    async def finish(self, *, deadline: float | None = None) -> None:
        """Hang up and wait for the child's exit. After the deadline it gets SIGTERM, and a second later SIGKILL."""
        if self._closed:
            return
        self._close_all()
        try:
            await self._wait_for_exit(deadline)
        except BaseException:
            self.abort()
            raise

    def close(self) -> None:
        self._close_all()
        super().close()

    def _close_all(self) -> None:
        if self._sink is not None and self._eof_sent and not self._closed:
            self._sink.close()  # `send_eof` has left it open
        super()._close_all()
