"""A child process as a stream: what it writes is received, what it reads is sent.

Pipes and not a socket, as in a shell: so it may open /dev/stdin anew, and its two directions end one by one. The end of
the child is the end of what it says, also where a grandchild still holds the pipe. Whoever lets go of the stream lets
go of the child: it is told by the end of its input, then by signals, and always waited for, so that no zombie stays.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from socketkit.config.percent_encoding import to_bytes
from socketkit.engines.engine import READ, Engine
from socketkit.errors import DeadlineError, StreamError
from socketkit.streams.pipes import PipeStream, Source
from socketkit.streams.socket_stream import DISCARD_SIZE

if TYPE_CHECKING:
    import subprocess

__all__ = ["ChildStream", "start_child"]

KILL_TIMEOUT: Final = 1.0
"""Seconds between SIGTERM and SIGKILL, and those that a child has which is let go of without a goodbye."""


def start_child(
    engine: Engine,
    command: Sequence[str],
    *,
    address: str,
    variables: Mapping[str, str] | None = None,
    own_session: bool = False,
) -> ChildStream:
    """Start a program, without a shell; returns when it runs.

    Args:
        engine: where the stream waits.
        command: the program, looked up in PATH, and its arguments.
        address: how the child is called, as text.
        variables: are added to its environment.
        own_session: whether it runs for somebody else: in a session of its own, without our terminal, and with its own
            children told when it is. Else it stays in ours, where Ctrl-C reaches it too.

    Raises:
        OSError: it cannot be run: no such program (ENOENT), no right (EACCES), not a program (ENOEXEC), no room.
    """
    import subprocess  # only who runs a child pays for it

    with contextlib.ExitStack() as opened:

        def pipe() -> tuple[int, int]:
            ends = os.pipe()
            for end in ends:
                opened.callback(os.close, end)
            return ends

        (its_input, sink), (source, its_output) = pipe(), pipe()
        process = subprocess.Popen(
            [_system_text(word) for word in command],
            stdin=its_input,
            stdout=its_output,
            env=None if variables is None else _environment(variables),
            start_new_session=own_session,
        )
        opened.pop_all()
        os.close(its_input)
        os.close(its_output)
    return ChildStream(engine, process, source, sink, address=address, own_session=own_session)


class ChildStream(PipeStream):
    """Both ends of the pipes to a child, and the child. Made by `start_child`."""

    def __init__(
        self,
        engine: Engine,
        process: subprocess.Popen[bytes],
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
        """How the child ended, as a shell says it (128 and the number of the signal that killed it); None: it runs."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def _read(self, source: Source) -> bytes | None:
        data = super()._read(source)
        if data is None and self._process.poll() is not None:
            data = super()._read(source) or b""  # what it wrote before its end is there by now
        return data

    async def finish(self, *, deadline: float | None = None) -> None:
        """End the child's input, and wait for its end; what it still says is thrown away, within bounds. After the
        deadline it is told by SIGTERM, and a second later by SIGKILL."""
        if self._closed:
            return
        try:
            self._end_sink()
            await self._discard_output(deadline)
            self._let_go()
            await self._wait_for_exit(deadline)
        except BaseException:
            self.abort()
            raise

    def close(self) -> None:
        """As `finish`, with one second, in the background."""
        if not self._closed:
            self._end_sink()
            self._let_go()
        if not self._is_waited_for:
            self._is_waited_for = True
            self.engine.background(self._wait_for_exit(self.engine.now() + KILL_TIMEOUT))

    def abort(self) -> None:
        """SIGTERM now, and SIGKILL in a second, in the background."""
        self._let_go()
        if not self._is_waited_for:
            self._is_waited_for = True
            self._signal(signal.SIGTERM)
            self.engine.background(self._wait_for_exit(self.engine.now() + KILL_TIMEOUT, (signal.SIGKILL,)))

    def _let_go(self) -> None:
        super()._let_go()
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    async def _discard_output(self, deadline: float | None) -> None:
        left = DISCARD_SIZE
        try:
            while left > 0:
                left -= len(await self.receive(deadline=deadline))
        except (StreamError, DeadlineError):
            pass  # the end, mostly; or somebody else hears it

    async def _wait_for_exit(
        self, deadline: float | None, signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGKILL)
    ) -> None:
        """Wait for the child's end; make it end where the moment comes first, or where the engine ends."""
        try:
            for number in signals:
                if await self._has_exited_by(deadline):
                    return
                self._signal(number)
                deadline = self.engine.now() + KILL_TIMEOUT
            await self._has_exited_by(deadline)  # only one that the system itself holds up would be left
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
                    await self.engine.run_in_thread(process.wait, deadline=deadline)
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
            return  # its number may be another's by now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number) if self._has_own_session else process.send_signal(number)


def _system_text(text: str) -> Any:
    """A word or variable as the child is to get it: UTF-8 as addresses have it, also where the locale's encoding is
    another one, by which `subprocess` would encode."""
    return to_bytes(text) if os.name == "posix" else text


def _environment(variables: Mapping[str, str]) -> dict[Any, Any]:
    ours: Mapping[Any, Any] = os.environb if os.name == "posix" else os.environ
    return {**ours, **{_system_text(name): _system_text(value) for name, value in variables.items()}}


def _handle_of(pid: int) -> int | None:
    """A descriptor that is readable when the process has ended (pidfd_open(2)); None where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
