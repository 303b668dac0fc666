"""Waiting for addresses: all or any, taken or free, one time for all, on every engine."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from socketkit import Address, engines
from socketkit.apps.wait import wait_for
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError, OptionError
from support.programs import PATIENCE
from support.recorder import Recorder
from support.streams import open_descriptors


@contextlib.contextmanager
def closed_port() -> Iterator[tuple[Address, socket.socket]]:
    """A port that is ours and at which nobody listens; `listen` opens it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield Address.parse(f"tcp://127.0.0.1:{sock.getsockname()[1]}"), sock


@contextlib.contextmanager
def open_port() -> Iterator[tuple[Address, socket.socket]]:
    with closed_port() as (address, sock):
        sock.listen()
        yield address, sock


def wait(engine: Engine, *addresses: Address, **options: Any) -> list[Address]:
    """Wait; the targets in the order in which they were ready."""
    order: list[Address] = []
    options.setdefault("timeout", PATIENCE)
    engine.run(wait_for(engine, addresses, ready=lambda address, seconds: order.append(address), **options))
    return order


def test_whoever_listens_is_found_at_once(engine: Engine) -> None:
    with open_port() as (address, _):
        assert wait(engine, address, timeout=0.0) == [address]


def test_whoever_comes_late_is_waited_for(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "late"
    seen = threading.Event()

    def observer(event: object) -> None:
        if type(event).__name__ == "Failed":
            seen.set()

    with closed_port() as (tcp, sock), socket.socket(socket.AF_UNIX) as other:
        unix = Address.parse(f"unix://{path}")

        def come() -> None:
            seen.wait(PATIENCE)
            other.bind(str(path))
            other.listen()
            sock.listen()

        thread = threading.Thread(target=come)
        thread.start()
        assert set(wait(engine, tcp, unix, observer=observer)) == {tcp, unix}
        thread.join()


def test_timeout_error_names_missing_targets(engine: Engine, tmp_path: Path) -> None:
    """When the time is over the error names who is missing and why."""
    with open_port() as (there, _), closed_port() as (closed, _):
        absent = Address.parse(f"unix://{tmp_path}/absent")
        with pytest.raises(DeadlineError) as caught:
            wait(engine, there, closed, absent, timeout=0.1)
    assert str(caught.value) == (
        f"2 of 3 targets are not there after 100ms: {closed}: Connection refused (ECONNREFUSED): nobody listens there; "
        f"{absent}: No such file or directory (ENOENT): there is no such file"
    )
    assert [attempt.address for attempt in caught.value.attempts] == [str(closed), str(absent)]


def test_one_is_enough(engine: Engine) -> None:
    with open_port() as (there, _), closed_port() as (closed, _):
        assert wait(engine, closed, there, is_one_enough=True) == [there]


def test_of_any_none_is_a_deadline(engine: Engine) -> None:
    with closed_port() as (first, _), closed_port() as (second, _), pytest.raises(DeadlineError, match="2 of 2"):
        wait(engine, first, second, is_one_enough=True, timeout=0.05)


def test_unused_port_is_free(engine: Engine, tmp_path: Path) -> None:
    """A port that no one listens at is free."""
    with closed_port() as (closed, _):
        absent = Address.parse(f"unix://{tmp_path}/absent")
        assert len(wait(engine, closed, absent, free=True, timeout=0.0)) == 2


def test_a_port_that_is_taken_is_not_free(engine: Engine) -> None:
    with open_port() as (address, _):
        with pytest.raises(DeadlineError) as caught:
            wait(engine, address, free=True, timeout=0.1)
    assert str(caught.value) == f"not free after 100ms: {address}: a connection is accepted there"


def test_free_waits_for_server_exit(engine: Engine) -> None:
    """A port is waited for until its server has gone."""
    with open_port() as (address, sock):

        def go() -> None:
            caller, _ = sock.accept()  # a look
            sock.close()
            caller.close()

        thread = threading.Thread(target=go)
        thread.start()
        assert wait(engine, address, free=True) == [address]
        thread.join()


def test_name_is_free_on_all_addresses(engine: Engine) -> None:
    """A name is free only where every place of it is."""
    with open_port() as (address, _), pytest.raises(DeadlineError, match="a connection is accepted there"):
        wait(engine, address.replace(host="localhost"), free=True, timeout=0.2)


def test_unknown_name_is_retried(engine: Engine) -> None:
    """An unknown name is waited for and says so."""
    with pytest.raises(DeadlineError, match=r"^not there after 300ms: tcp://no-such-name\.invalid:1"):
        wait(engine, Address.parse("tcp://no-such-name.invalid:1"), timeout=0.3)


@pytest.mark.parametrize("greeting", [b"", b"220 welcome\r\n"])
def test_probe_closes_without_reset(engine: Engine, greeting: bytes) -> None:
    """A look says close and the server sees no reset."""
    ends: list[bytes | OSError] = []
    with open_port() as (address, sock):

        def serve() -> None:
            caller, _ = sock.accept()
            with caller:
                caller.settimeout(PATIENCE)
                caller.sendall(greeting)
                try:
                    ends.append(caller.recv(10))
                    caller.sendall(b"bye\r\n")
                    caller.shutdown(socket.SHUT_WR)
                    ends.append(caller.recv(10))
                except OSError as error:
                    ends.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        wait(engine, address)
        thread.join()
    assert ends == [b"", b""]


def test_silent_target_has_its_own_timeout() -> None:
    """A full queue of callers lets SYNs go unanswered: as a machine does that is not there."""
    from socketkit import engines

    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, open_port() as (there, _):
        name = full.getsockname()
        callers = [socket.socket() for _ in range(3)]
        for caller in callers:
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect(name)
        silent = Address.parse(f"tcp://127.0.0.1:{name[1]}")
        engine = engines.make(engines.best_readiness())
        began = time.monotonic()
        found: list[tuple[Address, float]] = []
        with pytest.raises(DeadlineError, match=f"1 of 2 targets is not there after 2s: {silent}: no answer in time"):
            engine.run(wait_for(engine, [silent, there], timeout=2, ready=lambda *what: found.append(what)))
        assert time.monotonic() - began < 10
        assert [address for address, _ in found] == [there] and found[0][1] < 2
        for caller in callers:
            caller.close()


def test_nothing_is_left_open(engine: Engine) -> None:
    with open_port() as (there, _), closed_port() as (closed, _):
        if engine.blocks:
            engine.run(engine.sleep(0.001))  # this thread's waker stays
        before = open_descriptors()
        with pytest.raises(DeadlineError):
            wait(engine, there, closed, timeout=0.1)
        assert open_descriptors() <= before


def test_the_pauses_between_looks_grow(engine: Engine) -> None:
    seen = Recorder()
    with closed_port() as (closed, _), pytest.raises(DeadlineError):
        wait(engine, closed, timeout=0.5, observer=seen)
    count = seen.names().count("Connecting")
    assert 3 <= count <= 20, "20 ms, doubling, cut by at most a half, for half a second"


@pytest.mark.parametrize("address", ["udp://127.0.0.1:9", "ip://127.0.0.1?protocol=icmp", "stdio:", "fd://0"])
def test_wait_refuses_what_accepts_nothing(address):
    """Where no connection is accepted no look can answer, so the address is refused."""
    engine = engines.make("poll")
    with pytest.raises(OptionError, match=r"no connections|names no listener"):
        engine.run(wait_for(engine, [Address.parse(address)], timeout=0))


@pytest.mark.parametrize(("scheme", "name"), [("tls", "TLS"), ("ws", "WebSocket")])
def test_a_silent_handshake_ends_with_the_time_for_all(scheme: str, name: str) -> None:
    """Something accepts, and never answers: `handshake_timeout` is longer, and is not waited for."""
    with open_port() as (address, _):
        target = address.replace(scheme=scheme)
        with pytest.raises(DeadlineError, match=f"{name} handshake"):
            wait(engines.make("poll"), target, timeout=0.1, handshake_timeout=600)
