"""`listen --exec`: a child process for each connection, whose input and output are the connection.

A connection ends with its child's output, and a child is ended with its connection. A program that does not read all of
its input has not failed: `date` never does.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from typing import Any, Final

from socketkit.api import serve
from socketkit.apps.single_client import SingleClient
from socketkit.client.connect import open_connection
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.schemes import split_command
from socketkit.connection.connection import Connection
from socketkit.endpoint import Endpoint
from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import BrokenError, ConnectError, EndOfStream, SocketkitError
from socketkit.events import Observer
from socketkit.server.run import OpenUntilSignal, serve_until_signal
from socketkit.sockets.calls import reason_of
from socketkit.streams.process import ChildStream, start_child
from socketkit.streams.terminal_process import start_terminal_child

__all__ = ["call_with_child", "serve_children", "variables_of"]


async def serve_children(
    engine: Engine,
    address: Address,
    command: str,
    *,
    once: bool,
    terminal: bool = False,
    listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
    report: Callable[[str], object] = lambda line: None,
    observer: Observer | None = None,
    **options: Any,
) -> int:
    """Run a child process for each connection, until SIGINT or SIGTERM; then drain. A second signal stops at once.

    Args:
        engine: runs already.
        address: where to listen.
        command: the program and its arguments; no shell is used. Its environment describes the peer.
        once: serve the first connection only; others are refused.
        terminal: whether each child gets a pseudo-terminal, which is hung up at its end; else pipes.
        listening: called with the real addresses once clients can connect.
        report: is called with one line when a program cannot be started; again only after one could.
        observer: receives the events.
        options: by the names of `Options`.

    Returns:
        With `once`, the status of its child, as a shell says it; else 0.

    Raises:
        AddressError, OptionError: before anything is opened; so is a ConnectError for a command that is not there.
        ResolveError, ListenError: the address cannot be listened at.
        SocketkitError: with `once`, how the connection was lost, unless the child failed itself.
        OSError: accepting failed for good.
    """
    words = split_command(command)
    _check_program(words[0], command)
    statuses: list[int] = []
    close_timeout = Options.make(dict(address.options), options).close_timeout

    shortage: list[str] = []  # the failure to start a program that was reported last; empty after a success

    def start(connection: Connection) -> ChildStream:
        try:
            child = _start(engine, words, connection, command, terminal)
        except ConnectError as error:
            connection.abort()  # a reset: an empty answer would look like a program that printed nothing
            if not once and not shortage:
                shortage.append(str(error))
                report(f"{error}; clients are reset until a program can be started again")
            raise
        shortage.clear()
        return child

    async def talk(connection: Connection) -> None:
        child = start(connection)
        try:
            await _ChildSession(connection, child).hold(close_timeout)
        finally:
            child.abort()  # it has ended already, unless we were cancelled
            statuses.append(child.exit_status or 0)

    only = SingleClient(engine, talk)
    if once:
        options |= only.limit([address])
    handler = only.talk if once else talk
    how = serve(handler, address, framing="chunks", engine=engine, observer=observer, **options)
    async with OpenUntilSignal(engine, how) as server:
        if server is None:
            return 0

        def begin(addresses: tuple[Address, ...]) -> None:
            listening(addresses)
            only.open(server)

        await serve_until_signal(server, listening=begin)
    status = statuses[0] if once and statuses else 0
    if only.failure is not None and not status:
        raise only.failure.with_traceback(None)
    return status


async def call_with_child(
    engine: Engine,
    address: Address,
    command: str,
    *,
    terminal: bool = False,
    observer: Observer | None = None,
    **options: Any,
) -> int:
    """Connect, and run a child process whose input and output are the connection.

    Args:
        engine: runs already.
        address: where to connect.
        command: the program and its arguments; no shell is used. Its environment describes the peer.
        terminal: whether the child gets a pseudo-terminal, which is hung up at its end; else pipes.
        observer: receives the events.
        options: by the names of `Options`.

    Returns:
        The status of the child, as a shell says it.

    Raises:
        AddressError, OptionError: before anything is opened; so is a ConnectError for a command that is not there.
        ResolveError, ConnectError, DeadlineError: no connection could be opened; nothing was run.
        SocketkitError: the connection was lost, unless the child failed itself.

    Cancellation: the connection is reset, and the child gets SIGTERM, and SIGKILL a second later.
    """
    words = split_command(command)
    _check_program(words[0], command)
    place = Endpoint(address, "chunks", options)
    connection = await open_connection(engine, place.address, place.framing, place.options, observer=observer)
    async with connection:
        child = _start(engine, words, connection, command, terminal)
        try:
            await _ChildSession(connection, child).hold(place.options.close_timeout)
        except SocketkitError:
            if not child.exit_status:
                raise
        finally:
            child.abort()  # it has ended already, unless we were cancelled
    return child.exit_status or 0


def _check_program(name: str, command: str) -> None:
    """Report a program that does not exist before any client connects."""
    import shutil

    if shutil.which(name) is None:
        number = errno.EACCES if os.path.exists(name) else errno.ENOENT
        raise _not_run(command, OSError(number, os.strerror(number)))


def _not_run(command: str, error: OSError) -> ConnectError:
    return ConnectError(f"cannot run {command!r}: {reason_of(error)}", address=f"exec:{command}", errno=error.errno)


def _start(engine: Engine, words: list[str], connection: Connection, command: str, terminal: bool) -> ChildStream:
    address = str(Address("exec", path=command))
    variables = variables_of(connection)
    try:
        if terminal:
            return start_terminal_child(engine, words, address=address, variables=variables)
        return start_child(engine, words, address=address, variables=variables, own_session=True)
    except OSError as error:
        raise _not_run(command, error) from None


class _ChildSession:
    """How far both directions are."""

    def __init__(self, connection: Connection, child: ChildStream) -> None:
        self._connection = connection
        self._child = child
        self._changed = Condition(connection.engine)
        self._is_over = False
        self._failure: SocketkitError | None = None

    async def hold(self, close_timeout: float) -> None:
        """Copy until the child's output ends or the connection is lost; then close both.

        Raises:
            SocketkitError: the connection was lost.
        """
        connection, child = self._connection, self._child
        async with Group(connection.engine) as group:
            group.start(self._hear())
            group.start(self._say())
            try:
                await self._changed.wait_until(lambda: self._is_over)
            finally:
                child.stop_receiving()
                connection.stop_receiving()
                group.cancel()
        try:
            if self._failure is None:
                await connection.close()
        finally:
            await child.finish(deadline=connection.engine.deadline(close_timeout))
        if self._failure is not None:
            raise self._failure.with_traceback(None)

    async def _hear(self) -> None:
        """Copy from the connection to the child, as long as the child reads."""
        try:
            while True:
                try:
                    data = b"".join(await self._connection.receive_many())
                except EndOfStream:
                    await self._child.send_eof()
                    return
                try:
                    await self._child.send(data)
                except BrokenError:
                    return  # it wants no more; what it says still counts
        except SocketkitError as error:
            self._end(error)

    async def _say(self) -> None:
        """Copy from the child to the connection."""
        try:
            while True:
                await self._connection.send(await self._child.receive())
        except EndOfStream:
            self._end(None)
        except SocketkitError as error:
            self._end(error)

    def _end(self, error: SocketkitError | None) -> None:
        if not self._is_over:
            self._failure = error
        self._is_over = True
        self._changed.notify()


_NAMES: Final = {
    "peer_host": ("TCPREMOTEIP", "REMOTE_ADDR", "NCAT_REMOTE_ADDR", "SOCAT_PEERADDR"),
    "peer_port": ("TCPREMOTEPORT", "REMOTE_PORT", "NCAT_REMOTE_PORT", "SOCAT_PEERPORT"),
    "local_host": ("TCPLOCALIP", "NCAT_LOCAL_ADDR", "SOCAT_SOCKADDR"),
    "local_port": ("TCPLOCALPORT", "NCAT_LOCAL_PORT", "SOCAT_SOCKPORT"),
    "peer_pid": ("SOCKETKIT_PEER_PID",),
    "peer_uid": ("SOCKETKIT_PEER_UID", "IPCREMOTEEUID"),
    "peer_gid": ("SOCKETKIT_PEER_GID", "IPCREMOTEEGID"),
    "local_path": ("IPCLOCALPATH",),
}
"""The names of UCSPI (tcpserver, s6), systemd, ncat and socat, for programs written for them."""

_REMOVED: Final = re.compile(
    r"PROTO|TCP(6?(REMOTE|LOCAL)|LOCAL|REMOTE)\w*|SSL(REMOTE|LOCAL)\w*|UNIX(REMOTE|LOCAL)\w*|IPC(REMOTE|LOCAL)\w*"
    r"|REMOTE_(ADDR|PORT|HOST)|NCAT_(REMOTE|LOCAL|PROTO)\w*|SOCAT_(PEER|SOCK)\w*|SOCKETKIT_(PEER|LOCAL)\w*"
)
"""Variables that describe a connection. Those that the server has inherited describe another one."""


def variables_of(connection: Connection) -> dict[str, str | None]:
    """The environment variables that describe a client to its program; None for a variable that is to be removed.

    SOCKETKIT_PEER and SOCKETKIT_LOCAL are addresses. The others hold their parts, under the names that programs know
    from other servers. A value that an environment cannot hold (a zero byte) is left out.
    """
    peer, local, credentials = connection.peer, connection.local, connection.peer_credentials
    facts: dict[str, object] = {}
    if peer.port is not None:
        facts = {"peer_host": peer.host, "peer_port": peer.port, "local_host": local.host, "local_port": local.port}
    else:
        facts = {"local_path": local.path or None}
    if credentials is not None:
        facts |= {"peer_pid": credentials.pid, "peer_uid": credentials.uid, "peer_gid": credentials.gid}
    variables: dict[str, str | None] = {name: None for name in os.environ if re.fullmatch(_REMOVED, name)}
    for key, fact in facts.items():
        if fact is not None and "\0" not in str(fact):
            variables |= dict.fromkeys(_NAMES[key], str(fact))
    variables |= {"SOCKETKIT_PEER": str(peer), "SOCKETKIT_LOCAL": str(local), "PROTO": _protocol(peer)}
    return variables


def _protocol(peer: Address) -> str:
    """UCSPI's PROTO; its names are TCP, UDP, IPC."""
    if peer.port is None:
        return "IPC"
    if peer.scheme == "vsock":
        return "VSOCK"
    return "UDP" if peer.transport.kind == "SOCK_DGRAM" else "TCP"
