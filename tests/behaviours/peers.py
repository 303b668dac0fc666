"""The other ends: a plain socket that plays a part in a thread, programs as files; and looks at a process."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from socketkit import Address
from support.connections import PATIENCE, call, read_all, read_exactly

__all__ = [
    "PATIENCE",
    "asked",
    "call",
    "cpu_seconds",
    "echoed",
    "largest",
    "peer",
    "read_all",
    "read_exactly",
    "script",
    "until",
]

Part = Callable[[socket.socket], None]


@contextlib.contextmanager
def peer(part: Part, at: str = "tcp://127.0.0.1:0") -> Iterator[Address]:
    """A listener whose first caller is given to a function, in a thread; what fails there fails here."""
    wanted = Address.parse(at)
    if wanted.port is None:
        family, name = socket.AF_UNIX, os.fsdecode(wanted.socket_path)
    else:
        family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
        name = (wanted.host, wanted.port)
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(name)
        listener.listen(8)
        listener.settimeout(PATIENCE)
        errors: list[BaseException] = []

        def live() -> None:
            try:
                caller, _ = listener.accept()
                caller.settimeout(PATIENCE)
                with caller:
                    part(caller)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        host = f"[{wanted.host}]" if family == socket.AF_INET6 else wanted.host
        port = "" if wanted.port is None else listener.getsockname()[1]
        yield wanted if wanted.port is None else Address.parse(f"{wanted.scheme}://{host}:{port}")
        thread.join(PATIENCE)
        assert errors == [] and not thread.is_alive()


def asked(address: Address, data: bytes) -> bytes:
    """Call, send this and the end, and read up to the end."""
    with call(address) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return read_all(sock)


def echoed(address: Address) -> bool:
    """Whether an echo server there answers, to a caller that then goes: no test of ends."""
    with contextlib.suppress(OSError), call(address) as sock:
        sock.sendall(b"x")
        return sock.recv(1) == b"x"
    return False


def script(folder: Path, text: str) -> str:
    """A program of the shell, as a path without white space: every tool can run that."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def until(true: Callable[[], bool], what: str) -> None:
    """Look until it is so."""
    give_up = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process: proc(5), stat, fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def largest(pid: int) -> int:
    """The most memory that a process had, in bytes: proc(5), VmHWM."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024
