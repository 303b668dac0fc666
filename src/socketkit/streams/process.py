"""A child process as a stream: what it writes is received, what it reads is sent.

It gets pipes and no socket, as in a shell: so it can open /dev/stdin again, and its two directions end separately. Its
exit ends its output, also where a grandchild still holds the pipe. Closing the stream ends the child: by the end of its
input, then by signals. It is always waited for, so that no zombie stays.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from socketkit.config.percent_encoding import to_bytes
from socketkit.config.time_limits import KILL_TIMEOUT
from socketkit.engines.engine import READ, Engine
from socketkit.errors import DeadlineError, StreamError
from socketkit.streams.pipes import PipeStream, Source
from socketkit.streams.socket_stream import DISCARD_SIZE

if TYPE_CHECKING:
    import subprocess

__all__ = ["ChildStream", "environment_with", "start_child", "system_text"]


def start_child(
    engine: Engine,
    command: Sequence[str],
    *,
    address: str,
    variables: Mapping[str, str | None] | None = None,
    own_session: bool = False,
    merges_errors: bool = False,
) -> ChildStream:
    """Start a program, without a shell; returns when it runs.

    Args:
        engine: the engine on which the stream waits.
        command: the program, looked up in PATH, and its arguments.
        address: the address of the child, as text.
        variables: are added to its environment; a name with None is removed from it.
        own_session: whether it runs in a session of its own, without our terminal; then its children get its signals
            too. Else it stays in our session, where Ctrl-C reaches it.
        merges_errors: whether its standard error is received too; else it is ours.

    Raises:
        OSError: it cannot be run: no such program (ENOENT), no right (EACCES), not a program (ENOEXEC), no space.
    """
    import subprocess  # it takes milliseconds, which other streams need not pay

    with contextlib.ExitStack() as opened:

        def pipe() -> tuple[int, int]:
            ends = os.pipe()
            for end in ends:
                opened.callback(os.close, end)
            return ends

        (child_stdin, sink), (source, child_stdout) = pipe(), pipe()
        process = subprocess.Popen(
            [system_text(word) for word in command],
            stdin=child_stdin,
            stdout=child_stdout,
            stderr=subprocess.STDOUT if merges_errors else None,
            env=None if variables is None else environment_with(variables),
            start_new_session=own_session,
        )
        opened.pop_all()
        os.close(child_stdin)
        os.close(child_stdout)
    return ChildStream(engine, process, source, sink, address=address, own_session=own_session)


class ChildStream(PipeStream):
    """Both ends of the pipes to a child, and the child. Made by `start_child`."""

    def __init__(
        self,
        engine: Engine,
        process: subprocess.Popen[bytes] | Any,
        source: int,
        sink: int,
        *,
        address: str,
        own_session: bool = False,
    ) -> None:
        self._process = process
        self._has_own_session = own_session
        self._is_waited_for = False
        self._handle = _handle_of(process.pid)
        super().__init__(engine, source, sink, local="unix://unnamed", peer=address, until=self._handle)
        self._names = (address, address)

    @property
    def exit_status(self) -> int | None:
        """How the child exited, as a shell reports it: its status, or 128 plus the number of the signal that killed it.
        None while it runs."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def _read(self, source: Source) -> bytes | None:
        data = super()._read(source)
        if data is None and self._process.poll() is not None:
            data = super()._read(source) or b""  # what it wrote before its exit is there by now
        return data

    async def finish(self, *, deadline: float | None = None) -> None:
        """Close the child's input and wait for its exit; what it still writes is discarded, within bounds. After the
        deadline it gets SIGTERM, and a second later SIGKILL."""
        if self._closed:
            return
        try:
            self._end_sink()
            await self._discard_output(deadline)
            self._close_all()
            await self._wait_for_exit(deadline)
        except BaseException:
            self.abort()
            raise

    async def wait_exit(self, *, deadline: float | None = None) -> None:
        """Wait until the child has exited; nothing is sent to it or read from it.

        Raises:
            DeadlineError: it still runs.
        """
        if not await self._has_exited_by(deadline):
            raise DeadlineError(f"{self.peer} still runs")

    def close(self) -> None:
        """As `finish`, with one second, in the background."""
        if not self._closed:
            self._end_sink()
            self._close_all()
        if not self._is_waited_for:
            self._is_waited_for = True
            self.engine.background(self._wait_for_exit(self.engine.now() + KILL_TIMEOUT))

    def abort(self) -> None:
        """SIGTERM now, and SIGKILL in a second, in the background."""
        self._close_all()
        if not self._is_waited_for:
            self._is_waited_for = True
            self._signal(signal.SIGTERM)
            self.engine.background(self._wait_for_exit(self.engine.now() + KILL_TIMEOUT, (signal.SIGKILL,)))

    def _close_all(self) -> None:
        super()._close_all()
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    async def _discard_output(self, deadline: float | None) -> None:
        left = DISCARD_SIZE
        try:
            while left > 0:
                left -= len(await self.receive(deadline=deadline))
        except (StreamError, DeadlineError):
            pass  # the end, usually; or another task receives

    async def _wait_for_exit(
        self, deadline: float | None, signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGKILL)
    ) -> None:
        """Wait for the child's exit; signal it when the deadline comes first, or when the engine ends."""
        try:
            for number in signals:
                if await self._has_exited_by(deadline):
                    return
                self._signal(number)
                deadline = self.engine.now() + KILL_TIMEOUT
            await self._has_exited_by(deadline)  # only a child that is stuck in the kernel is left
        except self.engine.cancelled:
            self._signal(signal.SIGKILL)
            await self._has_exited_by(self.engine.now() + KILL_TIMEOUT)
            raise
        finally:
            self._is_waited_for = True

    async def _has_exited_by(self, deadline: float | None) -> bool:
        process = self._process
        handle = _handle_of(process.pid) if process.poll() is None else None
        try:
            while process.poll() is None:
                if handle is None:
                    await self.engine.run_in_thread(process.wait, deadline=deadline, purpose="children")
                else:
                    await self.engine.wait(handle, READ, deadline)
        except DeadlineError:
            return process.poll() is not None
        finally:
            if handle is not None:
                self.engine.unregister(handle)
                os.close(handle)
        return True

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process.poll() is not None:
            return  # the number may be another process's by now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number) if self._has_own_session else process.send_signal(number)


def system_text(text: str) -> Any:
    """A word or variable as the child is to get it: UTF-8 as addresses have it, also where the locale's encoding is
    another one, by which `subprocess` would encode."""
    return to_bytes(text) if os.name == "posix" else text


def environment_with(variables: Mapping[str, str | None]) -> dict[Any, Any]:
    """Our environment with these variables; those with None are removed."""
    ours: Mapping[Any, Any] = os.environb if os.name == "posix" else os.environ
    names = {system_text(name) for name in variables}
    kept = {name: value for name, value in ours.items() if name not in names}
    added = {system_text(name): system_text(value) for name, value in variables.items() if value is not None}
    return {**kept, **added}


def _handle_of(pid: int) -> int | None:
    """A descriptor that is readable when the process has exited (pidfd_open(2)); None where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
