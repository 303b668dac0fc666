"""Several processes serve one port: a supervisor listens, workers accept.

The supervisor opens every listening socket before it starts the first worker, and keeps them open. Connections that
wait for a dead worker are accepted by its replacement. The supervisor restarts workers with a backoff, forwards
signals, and waits for their end. A worker whose supervisor is gone stops as at SIGTERM.

A worker reports through a pipe that it serves, which is after it has set its signal handlers. The supervisor sends it
no signal before that, except SIGKILL, and announces the service when all workers have reported.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

from socketkit import engines
from socketkit.config.address import Address
from socketkit.config.backoff import Backoff
from socketkit.config.options import Options
from socketkit.config.time_limits import WORKER_KILL_TIMEOUT
from socketkit.config.tls_settings import TLS
from socketkit.endpoint import effective_options
from socketkit.errors import OptionError, SocketkitError
from socketkit.events import Observer, WorkerEnded, WorkerStarted
from socketkit.server.bind import listen_at
from socketkit.server.socket_listener import SocketListener
from socketkit.sockets.systemd import notify
from socketkit.tls.server_certificates import Certificates
from socketkit.values import replace

__all__ = ["Work", "Workers"]

FIRST_PAUSE: Final = 0.05
LAST_PAUSE: Final = 1.0
"""Seconds before a worker that died early is replaced, so that a crash at the start does not spin."""

STEADY: Final = 5.0
"""Seconds after which a worker's death resets the backoff: its replacement starts at once."""

_REPORT: Final = struct.Struct("=iq")
"""What a worker writes when it serves: its index and its pid."""

Work = Callable[[list[tuple[int, Address]], Callable[[], None]], object]
"""What a worker runs: it serves until SIGTERM at these addresses (inherited descriptors, each with the number of its
endpoint), and calls the second argument when it listens and handles signals, which closes those descriptors."""

_FORWARDED: Final = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))
_BLOCKED: Final = (signal.SIGINT, signal.SIGTERM, *_FORWARDED)
"""Signals that a new process must not receive before it has exchanged the supervisor's handlers for its own."""


class Workers:
    """The supervisor of one service. `run` is called in the main thread, before any engine or thread of the program.

    Args:
        endpoints: where to listen. On Linux each worker gets its own socket for the same port (SO_REUSEPORT), so that
            the system distributes connections; elsewhere all accept at one socket.
        count: the number of workers.
        work: what each worker runs; it returns after SIGTERM.
        listening: called once with the real addresses, when all workers serve.
        observer: receives the start and the end of each worker.
        shared: the numbers of the endpoints at whose sockets all workers accept, on Linux too: a worker that hangs
            holds up no client there.

    Raises:
        OptionError: this system has no fork.
    """

    def __init__(
        self,
        endpoints: Sequence[tuple[Address, Options]],
        count: int,
        work: Work,
        *,
        listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
        observer: Observer | None = None,
        shared: Collection[int] = (),
    ) -> None:
        if not hasattr(os, "fork"):
            raise OptionError("workers need fork(2), which this system has not: leave `workers` out")
        endpoints = [(address, effective_options(address, options)) for address, options in endpoints]
        if any(isinstance(options.tls, TLS) and options.tls.self_signed for _, options in endpoints):
            raise OptionError(
                "self_signed: each worker would make a key of its own, with a pin of its own; give cert=FILE"
            )
        self._endpoints = endpoints
        self._count = count
        self._work = work
        self._listening = listening
        self._observer = observer
        self._shared = shared
        self._lame_duck = endpoints[0][1].lame_duck  # as `Server` takes it
        self._grace = max(options.lame_duck + options.grace for _, options in endpoints)  # each worker has both
        self._listeners: list[
            tuple[int, list[SocketListener]]
        ] = []  # of an endpoint: a socket for each worker, or one for all
        self._members: list[_Member] = []
        self._is_announced = False
        self._stops = 0
        self._closing_time = self._deadline = float("inf")

    @property
    def addresses(self) -> list[tuple[int, Address]]:
        """The real addresses, each with the number of its endpoint; empty while nothing listens."""
        return [(number, listeners[0].address) for number, listeners in self._listeners]

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM, then drain; a second signal ends it at once.

        Raises:
            ResolveError, ListenError: an address cannot be listened at.
            OptionError: this is not the main thread; an address serves one connection only; a bad certificate.
        """
        if threading.current_thread() is not threading.main_thread():
            raise OptionError("workers must be started from the main thread, which receives signals")
        for _, options in self._endpoints:  # a worker that could not read them would be replaced for ever
            Certificates().prepare(options)
        self._listen()
        self._lifeline = os.pipe()  # nothing is written: it ends with the supervisor
        self._reports = os.pipe()  # each worker writes its index and pid here when it serves
        os.set_blocking(self._reports[0], False)
        try:
            with _signal_pipe() as (wakeups, numbers):
                self._members = [_Member(index) for index in range(self._count)]
                self._supervise(wakeups, numbers)
        finally:
            self._close_listeners()
            for descriptor in (*self._lifeline, *self._reports):
                os.close(descriptor)

    def _listen(self) -> None:
        try:
            for number, (address, options) in enumerate(self._endpoints):
                self._listeners += [(number, listeners) for listeners in self._listen_at(number, address, options)]
        except BaseException:
            self._close_listeners()
            raise

    def _listen_at(self, number: int, address: Address, options: Options) -> list[list[SocketListener]]:
        """For each socket address of this one (a name may have several): its sockets."""
        has_several = sys.platform == "linux" and address.port is not None and number not in self._shared
        options = replace(options, reuse_port=True) if has_several else options
        sockets = [[listener] for listener in self._open(address, options)]
        if has_several:
            for listeners in sockets:
                endpoint = listeners[0].address.replace(options=address.options)
                for _ in range(1, self._count):
                    listeners += self._open(endpoint, options)
        return sockets

    def _open(self, address: Address, options: Options) -> list[SocketListener]:
        if address.scheme in ("stdio", "exec"):
            raise _one_connection_only(address)
        engine = engines.make("select")  # the blocking engine would shut the socket down for others on close
        listeners = engine.run(listen_at(engine, address, options))
        if not all(isinstance(listener, SocketListener) for listener in listeners):
            for listener in listeners:
                listener.close()
            raise _one_connection_only(address)
        return [listener for listener in listeners if isinstance(listener, SocketListener)]

    def _close_listeners(self, *, keeps_files: bool = False) -> None:
        """Close the listeners, but for those with a file where `keeps_files`: without it no client reaches a worker."""
        kept = [(number, several) for number, several in self._listeners if keeps_files and several[0].address.path]
        for entry in self._listeners:
            if entry not in kept:
                for listener in entry[1]:
                    listener.close()
        self._listeners = kept

    def _supervise(self, wakeups: int, numbers: list[int]) -> None:
        while True:
            now = time.monotonic()
            for member in self._members:
                member.reap(now, self._observer)
                if not self._stops and member.is_due(now):
                    self._begin(member)
            self._read_reports()
            while numbers:
                self._handle_signal(numbers.pop(0))
            if self._stops:
                if not any(member.pid for member in self._members):
                    return
                now = time.monotonic()
                if now >= self._closing_time:
                    self._close_listeners()
                    self._closing_time = float("inf")
                if now >= self._deadline:
                    self._signal_all(signal.SIGKILL)
            self._wait(wakeups)

    def _wait(self, wakeups: int) -> None:
        dues = [member.due for member in self._members if not member.pid]
        moments = [self._deadline, self._closing_time] if self._stops else dues
        ahead = min(moments, default=float("inf")) - time.monotonic()
        poller = select.poll()  # not select(2), which fails beyond 1024 descriptors
        poller.register(wakeups, select.POLLIN)
        poller.register(self._reports[0], select.POLLIN)
        ready = [descriptor for descriptor, _ in poller.poll(min(max(ahead, 0.0), 60.0) * 1000)]
        if wakeups in ready:
            os.read(wakeups, 4096)

    def _read_reports(self) -> None:
        """Send the workers that serve by now what was kept for them; announce the service once all do."""
        with suppress(BlockingIOError):
            while report := os.read(self._reports[0], _REPORT.size):  # the pipe passes each whole (pipe(7), PIPE_BUF)
                index, pid = _REPORT.unpack(report)
                if self._members[index].pid == pid:
                    self._members[index].serves()
        if not (self._is_announced or self._stops) and all(member.is_serving for member in self._members):
            self._is_announced = True
            self._listening(tuple(address for _, address in self.addresses))

    def _handle_signal(self, number: int) -> None:
        if number in (signal.SIGINT, signal.SIGTERM):
            notify("STOPPING=1")
            self._stops += 1
            is_first = self._stops == 1
            now = time.monotonic()
            self._deadline = now + (self._grace if is_first else 0.0) + WORKER_KILL_TIMEOUT
            # The workers' own stay open until they have accepted what waits.
            self._close_listeners(keeps_files=is_first and self._lame_duck > 0)
            self._closing_time = now + self._lame_duck if self._listeners else float("inf")
            self._signal_all(signal.SIGTERM, is_urgent=not is_first)
        elif number in _FORWARDED:
            self._signal_all(number)

    def _signal_all(self, number: int, *, is_urgent: bool = False) -> None:
        for member in self._members:
            member.signal(number, is_urgent=is_urgent or number == signal.SIGKILL)

    def _begin(self, member: _Member) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        pid = os.fork()
        if pid == 0:
            self._run_worker(member)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
        member.begun(pid, time.monotonic())
        if self._observer is not None:
            self._observer(WorkerStarted(member.index, pid))

    def _run_worker(self, member: _Member) -> NoReturn:
        """Run the worker in the child process, then exit."""
        status = 1
        try:
            early: list[int] = []
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, lambda number, frame: early.append(number))  # until the work handles it
            for number in _FORWARDED:
                signal.signal(number, lambda number, frame: None)  # unless the work handles it
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal signals the group; the supervisor forwards it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
            os.close(self._lifeline[1])
            os.close(self._reports[0])
            threading.Thread(target=_watch, args=(self._lifeline[0],), daemon=True).start()
            self._work(*self._own(member.index, early))
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except SocketkitError as error:
            print(f"worker {member.index}: {error}", file=sys.stderr)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _own(self, index: int, early: Sequence[int]) -> tuple[list[tuple[int, Address]], Callable[[], None]]:
        """The addresses of one worker, and what it calls once it listens and handles signals.

        Args:
            index: the worker's number.
            early: stop signals that came before it handled them; sent again then.
        """
        own: list[tuple[int, socket.socket]] = []
        for number, listeners in self._listeners:
            mine = listeners[index % len(listeners)]
            own.append((number, mine.socket))
            for listener in listeners:
                if listener is not mine:
                    listener.socket.close()
        addresses = [(number, _inherited(sock, self._endpoints[number][0])) for number, sock in own]

        def listens() -> None:
            for _, sock in own:
                sock.close()
            with suppress(BrokenPipeError):  # the supervisor is gone: `_watch` stops this process
                os.write(self._reports[1], _REPORT.pack(index, os.getpid()))
            if early:
                os.kill(os.getpid(), signal.SIGTERM)

        return addresses, listens


class _Member:
    """One of the workers: its process, or when its replacement is due.

    Attributes:
        index: its number.
        pid: its process; 0: none runs.
        due: when a replacement may start.
        is_serving: whether its process has reported that it serves.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.pid = 0
        self.due = 0.0
        self.is_serving = False
        self._kept: list[int] = []  # signals for a process that does not serve yet
        self._since = 0.0
        self._backoff = Backoff(FIRST_PAUSE, LAST_PAUSE)

    def is_due(self, now: float) -> bool:
        return not self.pid and now >= self.due

    def begun(self, pid: int, now: float) -> None:
        self.pid, self._since = pid, now
        self.is_serving = False
        self._kept.clear()

    def serves(self) -> None:
        """The process handles signals from now on: send what was kept for it."""
        self.is_serving = True
        kept, self._kept = self._kept, []
        for number in kept:
            self.signal(number)

    def signal(self, number: int, *, is_urgent: bool = False) -> None:
        """Send a signal to the process, if one runs; kept until it serves, unless `is_urgent`."""
        if self.pid and (self.is_serving or is_urgent):
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
        elif self.pid:
            self._kept.append(number)

    def reap(self, now: float, observer: Observer | None) -> None:
        """If the process has ended, compute when its replacement is due."""
        if not self.pid:
            return
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return
        self.pid, self.is_serving = 0, False
        if now - self._since >= STEADY:
            self._backoff.reset()
            self.due = now
        else:
            self.due = now + self._backoff.next()
        if observer is not None:
            observer(WorkerEnded(self.index, pid, os.waitstatus_to_exitcode(status)))


def _inherited(sock: socket.socket, address: Address) -> Address:
    """The address of a descriptor, which does not say by itself that TLS or WebSocket is spoken there."""
    options = dict(address.options) | ({"tls": "yes"} if address.transport.is_secure else {})
    if address.transport.is_websocket:
        options["websocket"] = "yes"
    return Address("fd", path=str(sock.fileno()), options=tuple(options.items()))


def _one_connection_only(address: Address) -> OptionError:
    return OptionError(f"{address} serves one connection only, which several workers cannot share")


def _watch(lifeline: int) -> None:
    """In a worker: stop as at SIGTERM when the supervisor is gone."""
    with suppress(OSError):
        os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _signal_pipe() -> Iterator[tuple[int, list[int]]]:
    """While the block runs, signals make a descriptor readable, and their numbers are kept in order."""
    numbers: list[int] = []
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {}
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, *_FORWARDED):
            before[number] = signal.signal(number, lambda number, frame: numbers.append(number))
        yield reader, numbers
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
        signal.set_wakeup_fd(old)
        os.close(reader)
        os.close(writer)
