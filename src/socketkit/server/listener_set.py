"""The listeners of one server: opened together, suspended, inherited by another process, and closed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.engines.engine import Engine
from socketkit.events import Observer
from socketkit.framing.codec import Framing
from socketkit.server.bind import listen_at, listen_over
from socketkit.server.socket_listener import SocketListener
from socketkit.server.stream_listener import StreamListener

__all__ = ["ListenerSet"]

Entry = tuple[StreamListener, Options, Framing]


class ListenerSet:
    """The listeners of one server, each with the options and the framing of its connections.

    Args:
        engine: the server's.
        endpoints: the addresses, with their merged options and framings.
        opened: is called with each listener when all listen.
        closed: is called when they were closed.
        observer: receives the events of binding and listening.

    Attributes:
        addresses: the real ones, with the ports that the system has chosen; they stay while it is suspended.
        exhausted_count: listeners at which no further connection can come.

    Concurrency: every method is called in the engine's own thread.
    """

    def __init__(
        self,
        engine: Engine,
        endpoints: Sequence[tuple[Address, Options, Framing]],
        *,
        opened: Callable[[StreamListener, Options, Framing], object],
        closed: Callable[[], object],
        observer: Observer | None,
    ) -> None:
        self._engine = engine
        self._endpoints = list(endpoints)
        self._opened = opened
        self._closed = closed
        self._observer = observer
        self._entries: list[Entry] = []
        self._names: dict[StreamListener, str] = {}  # the address that each listener was opened for
        self._suspended: dict[Address, StreamListener] = {}
        self._dropped_count = self._kernel_dropped_count = 0
        self.addresses: tuple[Address, ...] = ()
        self.exhausted_count = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    async def open(self, inherited: Mapping[str, list[int]] | None = None) -> None:
        """Listen at every address, over inherited descriptors where there are any.

        Args:
            inherited: descriptors of listening sockets, by the address (as text, without options) that they were
                opened for; those that belong to no address of ours are closed.

        Raises:
            OptionError, ResolveError, ListenError: an address cannot be listened at; none is then.
        """
        left = dict(inherited or {})
        try:
            for address, options, framing in self._endpoints:
                name = str(address.without_options())
                suspended = self._suspended.pop(address, None)
                if suspended is not None and suspended.reopen():
                    listeners = [suspended]
                elif name in left:
                    descriptors = left.pop(name)
                    listeners = await listen_over(self._engine, descriptors, address, options, observer=self._observer)
                else:
                    listeners = await listen_at(self._engine, address, options, observer=self._observer)
                for listener in listeners:
                    self._entries.append((listener, options, framing))
                    self._names[listener] = name
        except BaseException:
            self.close()
            raise
        finally:
            for descriptor in (descriptor for several in left.values() for descriptor in several):
                os.close(descriptor)
        self.addresses = tuple(listener.address for listener, _, _ in self._entries)
        for entry in self._entries:
            self._opened(*entry)

    def suspend(self) -> None:
        """Close the listeners; `open` listens again at the same addresses and ports. Harmless twice."""
        endpoints = [(listener.origin, options, framing) for listener, options, framing in self._entries]
        self._endpoints = endpoints or self._endpoints
        self._suspended.update({listener.origin: listener for listener, _, _ in self._entries})
        self.close()

    def sockets(self) -> tuple[list[str], list[int]]:
        """The descriptors of all listening sockets, each with the name that `open` takes it by."""
        listeners = [listener for listener, _, _ in self._entries if isinstance(listener, SocketListener)]
        return [self._names[listener] for listener in listeners], [one.socket.fileno() for one in listeners]

    def release(self) -> None:
        """Close the listeners, and leave their sockets and files to another process, which has them too."""
        for listener, _, _ in self._entries:
            if isinstance(listener, SocketListener):
                listener.release()
        self.close()

    def close(self) -> None:
        """Close the listeners. Harmless twice."""
        entries, self._entries, self.exhausted_count = self._entries, [], 0
        self._names.clear()
        for listener, _, _ in entries:
            self._dropped_count += listener.dropped_count
            self._kernel_dropped_count += listener.kernel_dropped_count
            listener.close()
        self._closed()

    def close_copies(self) -> None:
        """In a child of fork(2): close the child's descriptors, and notify no task, as none of them runs there."""
        for listener, _, _ in self._entries:
            listener.close()

    @property
    def dropped_count(self) -> int:
        """Datagrams that were dropped so far."""
        return self._dropped_count + sum(listener.dropped_count for listener, _, _ in self._entries)

    @property
    def kernel_dropped_count(self) -> int:
        """Datagrams that the kernel has dropped so far."""
        return self._kernel_dropped_count + sum(listener.kernel_dropped_count for listener, _, _ in self._entries)
