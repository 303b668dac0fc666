"""Who is compared: each a server in a process of its own, started by a command that prints its port."""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

PEERS_FOLDER = Path(__file__).parent / "peers"
LINES, CHUNKS, COUNT = "lines", "chunks", "count"


@dataclass(frozen=True)
class Peer:
    """A server that can be measured.

    Attributes:
        name: in tables.
        command: its program, in `peers/`, with arguments; the mode is added.
        modes: what it is told to do for each thing that a workload wants; what is missing it cannot do.
        package: what must be installed for it.
        is_ours: for the reader's eye.
        has_thread_each: a thread a connection: left out where there are too many.
    """

    name: str
    command: tuple[str, ...]
    modes: dict[str, str] = field(default_factory=lambda: {mode: mode for mode in (LINES, CHUNKS, COUNT)})
    package: str = ""
    is_ours: bool = False
    has_thread_each: bool = False

    @property
    def is_available(self) -> bool:
        """Whether it can run here."""
        if self.is_ours and self.command[1] in ("epoll", "poll", "select", "kqueue"):
            import select

            return hasattr(select, self.command[1])
        return not self.package or find_spec(self.package) is not None

    def full_command(self, mode: str, c_server: Path) -> list[str]:
        """What to run."""
        told = self.modes[mode]
        if not self.command:
            return [str(c_server), "echo" if told in (LINES, CHUNKS) else told]
        return [sys.executable, "-W", "ignore", str(PEERS_FOLDER / self.command[0]), *self.command[1:], told]


_BATCHES = {LINES: "batches", COUNT: "count-batches"}
_ECHO = {LINES: LINES, CHUNKS: CHUNKS}


def _ours(engine: str, package: str = "") -> Peer:
    return Peer(f"ours, {engine}", ("ours.py", engine), package=package, is_ours=True)


PEERS = [
    Peer("C, epoll (the limit)", (), is_ours=False),
    Peer("uvloop, raw protocol", ("uvloop_protocol.py",), _ECHO, "uvloop"),
    Peer("uvloop, line protocol by hand", ("uvloop_lines.py",), {LINES: LINES}, "uvloop"),
    _ours("epoll"),
    Peer("ours, epoll, by batches", ("ours.py", "epoll"), _BATCHES, is_ours=True),
    _ours("poll"),
    _ours("select"),
    _ours("uvloop", "uvloop"),
    Peer("ours, uvloop, by batches", ("ours.py", "uvloop"), _BATCHES, "uvloop", is_ours=True),
    _ours("asyncio"),
    _ours("trio", "trio"),
    Peer("ours, threads", ("ours.py", "threads"), is_ours=True, has_thread_each=True),
    Peer("uvloop streams", ("asyncio_streams.py", "uvloop"), package="uvloop"),
    Peer("asyncio streams", ("asyncio_streams.py", "asyncio")),
    Peer("Twisted LineReceiver", ("twisted_lines.py",), package="twisted"),
    Peer("Tornado IOStream", ("tornado_streams.py",), _ECHO, "tornado"),
    Peer("trio SocketStream", ("trio_streams.py",), package="trio"),
    Peer("AnyIO on asyncio", ("anyio_streams.py",), _ECHO, "anyio"),
    Peer("gevent StreamServer", ("gevent_files.py",), package="gevent"),
    Peer("EasyNetwork", ("easynetwork_lines.py",), {LINES: LINES}, "easynetwork"),
    Peer("socketserver, threads", ("socketserver_threads.py",), has_thread_each=True),
    Peer("pyzmq STREAM", ("zmq_stream.py",), _ECHO, "zmq"),
]

PACKAGES = ("uvloop", "twisted", "tornado", "trio", "anyio", "gevent", "easynetwork", "pyzmq", "msgspec")


def versions() -> str:
    """What was compared with, with versions."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} is not installed")
    return ", ".join(found)
