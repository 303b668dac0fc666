"""Who is compared: each a server in a process of its own, started by a command that prints its port."""

from __future__ import annotations

import importlib.metadata
import os
import select
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

PEERS_FOLDER = Path(__file__).parent / "peers"
LINES, CHUNKS, COUNT, TLS, WEBSOCKET = "lines", "chunks", "count", "tls", "websocket"


@dataclass(frozen=True)
class Peer:
    """A server that can be measured.

    Attributes:
        name: in tables.
        command: its program, in `peers/`, with arguments; the mode is added. Empty: the server in C.
        modes: what it is told to do for each thing that a workload wants; what is missing it cannot do.
        package: what must be installed for it.
        environment: variables of its process.
        is_ours: for the reader's eye.
        has_thread_each: a thread a connection: left out where there are too many.
    """

    name: str
    command: tuple[str, ...]
    modes: Mapping[str, str] = field(default_factory=lambda: {mode: mode for mode in (LINES, CHUNKS, COUNT)})
    package: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = False
    has_thread_each: bool = False

    @property
    def is_available(self) -> bool:
        """Whether it can run here."""
        if self.is_ours and self.command[1] in ("epoll", "poll", "select", "kqueue"):
            return hasattr(select, self.command[1])
        return not self.package or find_spec(self.package) is not None

    def full_command(self, mode: str, c_server: Path) -> list[str]:
        """What to run."""
        told = self.modes[mode]
        if not self.command:
            return [str(c_server), "echo" if told in (LINES, CHUNKS) else told]
        return [sys.executable, "-W", "ignore", str(PEERS_FOLDER / self.command[0]), *self.command[1:], told]

    def full_environment(self) -> dict[str, str]:
        """What its process sees: ours, without a choice of the core that somebody has made for the whole run."""
        inherited = {name: value for name, value in os.environ.items() if name != "SOCKETKIT_PURE"}
        return {**inherited, **self.environment}


_ALL = {mode: mode for mode in (LINES, CHUNKS, COUNT, TLS)}
_OURS = {**_ALL, WEBSOCKET: WEBSOCKET}
_BY_HAND = {LINES: LINES, COUNT: COUNT, TLS: TLS}
_BATCHES = {LINES: "batches", COUNT: "count-batches", TLS: "tls-batches", WEBSOCKET: "websocket-batches"}
_ECHO = {LINES: LINES, CHUNKS: CHUNKS}


def _ours(engine: str, package: str = "") -> Peer:
    return Peer(f"ours, {engine}", ("ours.py", engine), _OURS, package, is_ours=True)


def _pure(engine: str) -> Peer:
    environment = {"SOCKETKIT_PURE": "1"}
    return Peer(f"ours, {engine}, core in Python", ("ours.py", engine), _OURS, environment=environment, is_ours=True)


C = "C, epoll (the limit)"
PICOWS = "picows, uvloop"
BY_HAND = "uvloop, line protocol by hand"

PEERS = [
    Peer(C, ()),
    Peer("uvloop, raw protocol", ("uvloop_protocol.py",), _ECHO, "uvloop"),
    Peer(BY_HAND, ("uvloop_lines.py", "uvloop"), _BY_HAND, "uvloop"),
    Peer("aiofastnet, line protocol by hand", ("uvloop_lines.py", "aiofastnet"), _BY_HAND, "aiofastnet"),
    _ours("epoll"),
    Peer("ours, epoll, by batches", ("ours.py", "epoll"), _BATCHES, is_ours=True),
    _pure("epoll"),
    _ours("poll"),
    _ours("select"),
    _ours("uvloop", "uvloop"),
    Peer("ours, uvloop, by batches", ("ours.py", "uvloop"), _BATCHES, "uvloop", is_ours=True),
    _ours("asyncio"),
    _pure("asyncio"),
    _ours("trio", "trio"),
    Peer("ours, threads", ("ours.py", "threads"), is_ours=True, has_thread_each=True),
    Peer("uvloop streams", ("asyncio_streams.py", "uvloop"), _ALL, "uvloop"),
    Peer("asyncio streams", ("asyncio_streams.py", "asyncio"), _ALL),
    Peer("Twisted LineReceiver", ("twisted_lines.py",), package="twisted"),
    Peer("Tornado IOStream", ("tornado_streams.py",), _ECHO, "tornado"),
    Peer("trio SocketStream", ("trio_streams.py",), package="trio"),
    Peer("AnyIO on asyncio", ("anyio_streams.py",), _ECHO, "anyio"),
    Peer("gevent StreamServer", ("gevent_files.py",), package="gevent"),
    Peer("EasyNetwork", ("easynetwork_lines.py",), {LINES: LINES}, "easynetwork"),
    Peer("socketserver, threads", ("socketserver_threads.py",), has_thread_each=True),
    Peer("pyzmq STREAM", ("zmq_stream.py",), _ECHO, "zmq"),
    Peer(PICOWS, ("picows_echo.py",), {WEBSOCKET: WEBSOCKET}, "picows"),
    Peer("aiohttp, uvloop", ("aiohttp_websocket.py",), {WEBSOCKET: WEBSOCKET}, "aiohttp"),
    Peer("websockets, uvloop", ("websockets_echo.py",), {WEBSOCKET: WEBSOCKET}, "websockets"),
]

PACKAGES = ("uvloop", "aiofastnet", "twisted", "tornado", "trio", "anyio", "gevent", "easynetwork", "pyzmq",
            "picows", "aiohttp", "websockets")  # fmt: skip


def versions() -> str:
    """What was compared with, with versions."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} is not installed")
    return ", ".join(found)
