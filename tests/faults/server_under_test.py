"""A server with faulty peers, a healthy client beside them, and a check of its events and resources at the end."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults.faulty_peers import TIMEOUT, Name, dial, read_lines
from socketkit import serve
from socketkit.blocking import BlockingServer
from socketkit.connection.connection import Connection
from socketkit.errors import EndOfStream
from socketkit.events import Accepted, Closed, Event, Received, Sent

RESPONSIVE = 3.0
"""Seconds that no answer may take: what a stalled server never keeps, and a busy machine does."""

MIB = 1 << 20


async def echo(connection: Connection) -> None:
    """Each line back; "fail" raises."""
    while True:
        try:
            messages = await connection.receive_many()
        except EndOfStream:
            return
        if "fail" in messages:
            raise ZeroDivisionError("as it was told")
        await connection.send_many(messages)


def memory(field: str = "VmRSS", pid: int | str = "self") -> int:
    """Bytes of a process, now (VmRSS) or at its highest (VmHWM; proc(5))."""
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{field}:")[2].split()[0]) * 1024


def forget_peak(pid: int | str = "self") -> int:
    """Let VmHWM begin anew; the memory now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return memory("VmRSS", pid)


def descriptors(pid: int | str = "self") -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


class EventCounts:
    """An observer that keeps every event but those that carry bytes, of which it keeps the sizes."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sizes = {Received: 0, Sent: 0}
        self._lock = threading.Lock()  # where the engine blocks, each conversation has a thread

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, (Received, Sent)):
                self.sizes[type(event)] += len(event.data)
            else:
                self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        """The events of one class."""
        with self._lock:
            return [event for event in self.events if isinstance(event, kind)]


class HealthyClient(threading.Thread):
    """A healthy client: asks three numbered lines at a time, and demands each answer, whole and in order.

    Attributes:
        rounds: how many came back whole.
        slowest: seconds of the slowest, but for the first.
        failure: what went wrong, which ends it.
    """

    def __init__(self, name: Name, *, beat: float = 0.002) -> None:
        super().__init__(daemon=True)
        self.rounds = 0
        self.slowest = 0.0
        self.failure: BaseException | None = None
        self._sock = self.dial(name)
        self._beat = beat
        self._stopped = threading.Event()
        self._news = threading.Condition()

    def run(self) -> None:
        try:
            while not self._stopped.wait(self._beat):
                self._ask()
            self.say_goodbye()
        except BaseException as error:  # told by `check`
            self.failure = error
        finally:
            self._sock.close()
            with self._news:
                self._news.notify_all()

    def dial(self, name: Name) -> socket.socket:
        """The socket that it talks over."""
        return dial(name)

    def say_goodbye(self) -> None:
        """End our direction, and see the server end its own."""
        self._sock.shutdown(socket.SHUT_WR)
        assert self._sock.recv(1) == b"", "more came back than was said"

    def _ask(self) -> None:
        lines = [b"%d " % self.rounds + b"y" * (self.rounds * step % 1500) for step in (1, 7, 31)]
        began = time.monotonic()
        self._sock.sendall(b"".join(line + b"\n" for line in lines))
        assert read_lines(self._sock, 3) == lines
        if self.rounds:  # to be let in may take its time
            self.slowest = max(self.slowest, time.monotonic() - began)
        with self._news:
            self.rounds += 1
            self._news.notify_all()

    def wait_rounds(self, count: int) -> None:
        """Wait until so many more rounds have gone well: what the liars began has had its time."""
        with self._news:
            target = self.rounds + count
            self._news.wait_for(lambda: self.rounds >= target or self.failure is not None, TIMEOUT)
            assert self.failure is None and self.rounds >= target, f"{self.failure!r} after {self.rounds} rounds"

    def end(self) -> None:
        """Say the last word, and wait for the server's."""
        self._stopped.set()
        self.join(TIMEOUT)

    def stop(self) -> None:
        """End it, and demand that nothing was lost and nothing slow."""
        self.end()
        assert self.failure is None, f"{self.failure!r} after {self.rounds} rounds"
        assert not self.is_alive()
        assert self.slowest < RESPONSIVE, f"an answer took {self.slowest:.2f} s"


class ServerUnderTest:
    """What a test of faults has in its hands.

    Attributes:
        server: runs in a thread.
        name: where it listens.
        companion: talks with it all the time.
        account: every event so far.
    """

    def __init__(self, server: BlockingServer, account: EventCounts) -> None:
        self.server = server
        self.account = account
        (address,) = server.addresses
        assert address.port is not None
        self.name: Name = (address.host, address.port)
        self.companion = HealthyClient(self.name)
        self.companion.start()

    def ends(self) -> list[BaseException | None]:
        """What ended each conversation that is over."""
        return [event.error for event in self.account.of(Closed)]

    def wait_left(self, count: int = 0) -> None:
        """Wait until only so many are here beside the companion."""
        deadline = time.monotonic() + TIMEOUT
        while self.server.statistics().active_count > count + 1:
            assert time.monotonic() < deadline, self.server.statistics()
            self.companion.wait_rounds(1)

    def wait_came(self, count: int) -> None:
        """Wait until so many were let in beside the companion."""
        deadline = time.monotonic() + TIMEOUT
        while self.server.statistics().accepted_count < count + 1:
            assert time.monotonic() < deadline, self.server.statistics()
            self.companion.wait_rounds(1)


@contextmanager
def server_under_test(
    engine: str, handler: Callable[..., Any] = echo, *, framing: str = "lines", growth: int = 16 * MIB, **options: Any
) -> Iterator[ServerUnderTest]:
    """A server with a healthy conversation in it; whatever happened inside, the account has to be right at the end.

    Args:
        growth: bytes by which the memory of this process (server, liars and all) may ever exceed that of the start.
    """
    with serve(handler, "tcp://127.0.0.1:0", engine=engine):
        pass  # what an engine opens once in a process (libuv's pipe for signals) is no leak
    gc.collect()
    descriptors_before, memory_before = descriptors(), forget_peak()
    account = EventCounts()
    with serve(handler, "tcp://127.0.0.1:0", framing=framing, engine=engine, observer=account, **options) as server:
        here = ServerUnderTest(server, account)
        try:
            yield here
            here.companion.wait_rounds(5)
        finally:
            here.companion.stop()
        server.wait_idle(timeout=TIMEOUT)
    facts = server.statistics()
    assert memory("VmHWM") - memory_before < growth
    begun = [event.connection for event in account.of(Accepted)]
    ended = account.of(Closed)
    assert len(set(begun)) == len(begun) == facts.accepted_count
    assert sorted(event.connection for event in ended) == sorted(begun)
    assert facts.active_count == 0
    for kind, attribute in ((Received, "received_size"), (Sent, "sent_size")):
        assert account.sizes[kind] == sum(getattr(event, attribute) for event in ended) == getattr(facts, attribute)
    del server, here, account, begun, ended
    gc.collect()
    deadline = time.monotonic() + RESPONSIVE
    while descriptors() > descriptors_before and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread of the blocking engine closes what it had at its very end
    assert descriptors() <= descriptors_before
