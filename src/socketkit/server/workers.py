"""Several processes serve one port: a supervisor that listens, workers that accept, and nobody lost between them.

The supervisor opens every listening socket before the first worker begins, and keeps them: callers who wait for a
worker that has died wait for its successor. It restarts the dead with growing pauses, forwards signals, and sees all
of them out. A worker whose supervisor is gone stops as if it had been told to.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

from socketkit import engines
from socketkit.config.address import Address
from socketkit.config.backoff import Backoff
from socketkit.config.options import Options
from socketkit.config.time_limits import WORKER_KILL_TIMEOUT
from socketkit.config.tls_settings import TLS
from socketkit.endpoint import settled
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
"""Seconds before a worker that died early is replaced: a crash at the start does not spin."""

STEADY: Final = 5.0
"""Seconds of life after which a worker's death counts as the first again: its successor begins at once."""

Work = Callable[[list[tuple[int, Address]], Callable[[], None]], object]
"""What a worker does: serve until SIGTERM at these addresses, which are inherited descriptors, each with the number of
the place that it belongs to; and call the second argument when it listens, which closes those descriptors."""

_FORWARDED: Final = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))


class Workers:
    """The supervisor of one service. `run` is called in the main thread, before any engine or thread of the program.

    Args:
        places: where to listen; each worker gets sockets of its own for the same ports where the system shares callers
            out by itself (SO_REUSEPORT, Linux), else all wait at one.
        count: how many workers.
        work: what each of them does; it returns when it was told to stop.
        listening: is told the real addresses, once, when callers can come.
        observer: is told of beginnings and ends.

    Raises:
        OptionError: this system has no fork.
    """

    def __init__(
        self,
        places: Sequence[tuple[Address, Options]],
        count: int,
        work: Work,
        *,
        listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
        observer: Observer | None = None,
    ) -> None:
        if not hasattr(os, "fork"):
            raise OptionError("workers need fork(2), which this system has not: leave `workers` out")
        places = [(address, settled(address, options)) for address, options in places]
        if any(isinstance(options.tls, TLS) and options.tls.self_signed for _, options in places):
            raise OptionError(
                "self_signed: each worker would make a key of its own, with a pin of its own; give cert=FILE"
            )
        self._places = places
        self._count = count
        self._work = work
        self._listening = listening
        self._observer = observer
        self._grace = max(options.grace for _, options in places)
        self._doors: list[tuple[int, list[SocketListener]]] = []  # a place, and a socket for each worker or for all
        self._members: list[_Member] = []
        self._stops = 0
        self._deadline = float("inf")

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM, then drain; a second signal ends it at once.

        Raises:
            ResolveError, ListenError: an address cannot be listened at.
            OptionError: this is not the main thread; an address has one caller only; a certificate cannot be used.
        """
        if threading.current_thread() is not threading.main_thread():
            raise OptionError("workers are started from the main thread, to which signals come")
        for _, options in self._places:  # each worker reads them: one who could not would be replaced for ever
            Certificates().prepare(options)
        self._listen()
        self._lifeline = os.pipe()  # nobody ever writes: it ends with the supervisor
        try:
            with _news() as (news, numbers):
                self._members = [_Member(index) for index in range(self._count)]
                self._listening(tuple(doors[0].address for _, doors in self._doors))
                self._supervise(news, numbers)
        finally:
            self._close_doors()
            for descriptor in self._lifeline:
                os.close(descriptor)

    def _listen(self) -> None:
        try:
            for number, (address, options) in enumerate(self._places):
                self._doors += [(number, doors) for doors in self._listen_at(address, options)]
        except BaseException:
            self._close_doors()
            raise

    def _listen_at(self, address: Address, options: Options) -> list[list[SocketListener]]:
        """For each socket address of this one (a name may have several): its sockets."""
        shares = sys.platform == "linux" and address.port is not None
        options = replace(options, reuse_port=True) if shares else options
        sockets = [[door] for door in self._open(address, options)]
        if shares:
            for doors in sockets:
                place = doors[0].address.replace(options=address.options)
                for _ in range(1, self._count):
                    doors += self._open(place, options)
        return sockets

    def _open(self, address: Address, options: Options) -> list[SocketListener]:
        if address.scheme in ("stdio", "exec"):
            raise _one_caller_only(address)
        engine = engines.make("select")  # one that does not shut a socket down for others when it is closed
        doors = engine.run(listen_at(engine, address, options))
        if not all(isinstance(door, SocketListener) for door in doors):
            for door in doors:
                door.close()
            raise _one_caller_only(address)
        return [door for door in doors if isinstance(door, SocketListener)]

    def _close_doors(self) -> None:
        for _, doors in self._doors:
            for door in doors:
                door.close()
        self._doors = []

    def _supervise(self, news: int, numbers: list[int]) -> None:
        while True:
            now = time.monotonic()
            for member in self._members:
                member.reap(now, self._observer)
                if not self._stops and member.is_due(now):
                    self._begin(member)
            while numbers:
                self._heed(numbers.pop(0))
            if self._stops:
                if not any(member.pid for member in self._members):
                    return
                if time.monotonic() >= self._deadline:
                    self._tell_all(signal.SIGKILL)
            self._wait(news)

    def _wait(self, news: int) -> None:
        moments = [member.due for member in self._members if not member.pid] if not self._stops else [self._deadline]
        ahead = min(moments, default=float("inf")) - time.monotonic()
        if select.select([news], [], [], min(max(ahead, 0.0), 60.0))[0]:
            os.read(news, 4096)

    def _heed(self, number: int) -> None:
        if number in (signal.SIGINT, signal.SIGTERM):
            notify("STOPPING=1")
            self._stops += 1
            self._deadline = time.monotonic() + (self._grace if self._stops == 1 else 0.0) + WORKER_KILL_TIMEOUT
            self._close_doors()  # theirs are open until they have let in who waited there
            self._tell_all(signal.SIGTERM)
        elif number in _FORWARDED:
            self._tell_all(number)

    def _tell_all(self, number: int) -> None:
        for member in self._members:
            if member.pid:
                with suppress(ProcessLookupError):
                    os.kill(member.pid, number)

    def _begin(self, member: _Member) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)  # he is told of them when he can do what they ask for
        pid = os.fork()
        if pid == 0:
            self._be(member)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        member.begun(pid, time.monotonic())
        if self._observer is not None:
            self._observer(WorkerStarted(member.index, pid))

    def _be(self, member: _Member) -> NoReturn:
        """What the child does, from its first line to its last."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            for number in _FORWARDED:
                signal.signal(number, lambda number, frame: None)  # unless the work has a use for it
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells everybody: we are told by the supervisor
            os.close(self._lifeline[1])
            threading.Thread(target=_watch, args=(self._lifeline[0],), daemon=True).start()
            self._work(*self._own(member.index))
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

    def _own(self, index: int) -> tuple[list[tuple[int, Address]], Callable[[], None]]:
        """The addresses of one worker, and what closes the descriptors when it listens. The others' are closed."""
        own: list[tuple[int, socket.socket]] = []
        for number, doors in self._doors:
            mine = doors[index % len(doors)]
            own.append((number, mine.socket))
            for door in doors:
                if door is not mine:
                    door.socket.close()
        addresses = [(number, _inherited(sock, self._places[number][0])) for number, sock in own]

        def listens() -> None:
            for _, sock in own:
                sock.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)

        return addresses, listens


class _Member:
    """One place among the workers: who holds it, or when the next one is due.

    Attributes:
        index: which place.
        pid: of the process that holds it; 0: it is free.
        due: the moment at which the next one may begin.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.pid = 0
        self.due = 0.0
        self._since = 0.0
        self._backoff = Backoff(FIRST_PAUSE, LAST_PAUSE)

    def is_due(self, now: float) -> bool:
        return not self.pid and now >= self.due

    def begun(self, pid: int, now: float) -> None:
        self.pid, self._since = pid, now

    def reap(self, now: float, observer: Observer | None) -> None:
        """See whether it has ended, and then when the next one is due."""
        if not self.pid:
            return
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return
        self.pid = 0
        if now - self._since >= STEADY:
            self._backoff.reset()
            self.due = now
        else:
            self.due = now + self._backoff.next()
        if observer is not None:
            observer(WorkerEnded(self.index, pid, os.waitstatus_to_exitcode(status)))


def _inherited(sock: socket.socket, address: Address) -> Address:
    """The address of a descriptor, which does not say by itself that TLS is spoken there."""
    options = dict(address.options) | ({"tls": "yes"} if address.transport.is_secure else {})
    return Address("fd", path=str(sock.fileno()), options=tuple(options.items()))


def _one_caller_only(address: Address) -> OptionError:
    return OptionError(f"{address} has one caller only, and that is no work for several")


def _watch(lifeline: int) -> None:
    """In a worker: when the supervisor is gone, stop as if he had said so."""
    with suppress(OSError):
        os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _news() -> Iterator[tuple[int, list[int]]]:
    """While the block runs, signals wake the reader of a descriptor, and are kept as numbers, in order."""
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
