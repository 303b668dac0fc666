"""What a relay tells its observer besides the events of both connections: which two belong together."""

from __future__ import annotations

from socketkit.events import Event

__all__ = ["RelayEnded", "RelayStarted"]


class RelayStarted(Event):
    """A client is connected to a target, and bytes are relayed from here on.

    Attributes:
        connection: the number of the client's connection, which stands for both in `RelayEnded` too.
        upstream: the number of the connection to the target.
        client, target: the addresses of both peers.
    """

    connection: int
    upstream: int
    client: str
    target: str


class RelayEnded(Event):
    """A relayed connection has ended; one event for each client that was accepted.

    Attributes:
        connection, client, target: as in `RelayStarted`; `target` is None where none was reached.
        received_size, sent_size: bytes from the client to the target, and back.
        seconds: from the accepted client to the end.
        end: `done`, `broken`, `limit`, `unreachable` or `stopped`, as in the access log.
        error: the reason, where it was not `done` or `stopped`.
    """

    connection: int
    client: str
    target: str | None
    received_size: int
    sent_size: int
    seconds: float
    end: str
    error: BaseException | None
