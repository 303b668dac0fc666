"""select(2) takes descriptors below 1024 only: more of them are a resource shortage, as EMFILE is."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from socketkit import engines, serve
from socketkit.engines.pollers import FD_SETSIZE, SelectPoller
from socketkit.errors import OptionError
from socketkit.events import AcceptPaused, AcceptResumed

resource = pytest.importorskip("resource")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """This process may open more descriptors than select(2) takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FD_SETSIZE + 100:
        pytest.skip(f"this process may open {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FD_SETSIZE + 100), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def use_all(stack: ExitStack) -> None:
    """Take every descriptor that select(2) takes, until the stack is closed."""
    number = 0
    while number < FD_SETSIZE:
        number = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, number)


@pytest.mark.usefixtures("many_descriptors")
def test_make_select_without_descriptors() -> None:
    """An engine that cannot watch its own waker is an OptionError that names the limit."""
    with ExitStack() as stack:
        use_all(stack)
        with pytest.raises(OptionError, match=r"^engine=select: .* it takes those below 1024"):
            engines.make("select")
    engines.make("select")


@pytest.mark.usefixtures("many_descriptors")
def test_capacity_is_emfile() -> None:
    poller = SelectPoller()
    with ExitStack() as stack:
        use_all(stack)
        with pytest.raises(OSError) as caught:
            poller.check_capacity()
        assert caught.value.errno == errno.EMFILE
    poller.check_capacity()


@pytest.mark.usefixtures("many_descriptors")
def test_accept_pauses_beyond_capacity() -> None:
    """The connection stays in the backlog until a descriptor is free, and is served then."""
    paused, resumed = threading.Event(), threading.Event()

    def observe(event: object) -> None:
        if isinstance(event, AcceptPaused):
            paused.set()
        elif isinstance(event, AcceptResumed):
            resumed.set()

    async def echo(connection):  # type: ignore[no-untyped-def]
        async for message in connection:
            await connection.send(message)

    with serve(echo, "tcp://127.0.0.1:0", engine="select", observer=observe) as server, ExitStack() as stack:
        use_all(stack)
        with socket.create_connection(("127.0.0.1", server.addresses[0].port), timeout=30) as client:
            assert client.fileno() >= FD_SETSIZE
            client.sendall(b"data")
            assert paused.wait(30)
            stack.close()
            assert client.recv(9) == b"data"
            assert resumed.wait(30)


def test_closed_descriptor_fails_alone() -> None:
    """A watched descriptor that was closed is reported; the call goes on for the others."""
    poller = SelectPoller()
    near, far = socket.socketpair()
    gone = os.open(os.devnull, os.O_RDONLY)
    with near, far:
        poller.arm(gone, 0, 1)
        poller.arm(near.fileno(), 0, 1)
        os.close(gone)
        assert [descriptor for descriptor, _ in poller.poll(None)] == [gone]
        poller.arm(gone, 1, 0)
        far.send(b"data")
        assert [descriptor for descriptor, _ in poller.poll(None)] == [near.fileno()]
