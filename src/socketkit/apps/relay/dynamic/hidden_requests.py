"""An observer between the events and their real observer: hides the data of requests, which may hold passwords."""

from __future__ import annotations

from socketkit.connection.connection import Connection
from socketkit.events import Accepted, Closed, Event, Observer, Received, wants_calls, wants_data

__all__ = ["HiddenRequests"]


class HiddenRequests:
    """Passes on every event. The data of a client is replaced by asterisks until its request was read.

    Concurrency: the tasks of one engine. A blocking server calls it from several threads, each for its own connection.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._under_way: set[int] = set()
        self.wants_data = wants_data(observer)
        self.wants_calls = wants_calls(observer)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Accepted):
            self._under_way.add(event.connection)
        elif isinstance(event, Closed):
            self._under_way.discard(event.connection)
        elif isinstance(event, Received) and event.connection in self._under_way:
            event = Received(event.connection, b"*" * len(event.data))
        self._observer(event)

    def begin(self, client: Connection) -> None:
        """Its calls are hidden as well from now on (`--explain`)."""
        _hide_calls(client, is_hidden=True)

    def end(self, client: Connection) -> None:
        """Its request was read: what follows is shown."""
        self._under_way.discard(client.number)
        _hide_calls(client, is_hidden=False)


def _hide_calls(client: Connection, *, is_hidden: bool) -> None:
    hide = getattr(client.internals.stream.socket, "hide_data", None)  # a traced socket
    if hide is not None:
        hide(is_hidden)
