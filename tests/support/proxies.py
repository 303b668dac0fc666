"""A proxy that does as a script says: one thread, one connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from support.programs import PATIENCE


class ScriptedProxy:
    """Listens on the loopback; `script` gets the first accepted socket, which is closed after it.

    Attributes:
        port: where it listens.
        received: what `take` has read.
        is_done: set when the script has ended, or the client has reset the connection.
    """

    def __init__(self, script: Callable[[ScriptedProxy, socket.socket], object]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]
        self.received: list[bytes] = []
        self._script = script
        self.is_done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._listener.accept()[0] as accepted:
                accepted.settimeout(PATIENCE)
                self._script(self, accepted)
        except OSError:
            pass  # a reset: the client has gone
        self.is_done.set()

    def take(self, accepted: socket.socket, size: int) -> bytes:
        """Read so many bytes, or to the end."""
        data = b""
        while len(data) < size and (more := accepted.recv(size - len(data))):
            data += more
        self.received.append(data)
        return data

    def take_until_end(self, accepted: socket.socket) -> None:
        """Read until the client closes."""
        while accepted.recv(4096):
            pass

    def __enter__(self) -> ScriptedProxy:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.close()
        self._thread.join(PATIENCE)


def wait_listening(port: int) -> None:
    """Wait until a program that says nothing listens at this port of the loopback."""
    from socketkit import connect

    with connect(f"tcp://127.0.0.1:{port}", retry="forever,first=10ms,maximum=100ms,deadline=20s"):
        pass
