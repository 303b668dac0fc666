"""`open_datagrams`: checks its arguments at once, and returns what `with` and `async with` open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, overload

from socketkit.config.address import Address
from socketkit.datagrams.blocking import BlockingDatagrams
from socketkit.datagrams.bound_socket import BoundSocket
from socketkit.datagrams.datagrams import Datagrams
from socketkit.endpoint import Endpoint
from socketkit.engines.engine import Engine, run_to_end
from socketkit.errors import AddressError
from socketkit.events import Observer, guarded
from socketkit.framing.codec import M
from socketkit.open_context import OpenContext
from socketkit.server.bind import listen_at

if TYPE_CHECKING:
    from typing import Unpack

    from socketkit.framing.names import BytesFraming, FramingLike, TextFraming
    from socketkit.typed_options import DatagramsOptions

__all__ = ["DatagramsContext", "open_datagrams"]

_ALLOWED = "udp://, udp4://, udp6://, unixgram:// and ip://"


class DatagramsContext(OpenContext[BlockingDatagrams[M], Datagrams[M]], Generic[M]):
    """Opens to bound datagram sockets."""

    def __init__(self, endpoint: Endpoint, engine: str | Engine | None, observer: Observer | None) -> None:
        super().__init__(engine if engine is not None else endpoint.options.engine)
        self._endpoint = endpoint
        self._observer = guarded(observer)

    def _open_blocking(self) -> BlockingDatagrams[M]:
        return BlockingDatagrams(run_to_end(self._open(self._blocking_engine())))

    async def _open(self, engine: Engine) -> Datagrams[M]:
        to = self._endpoint
        found: list[Any] = list(
            await listen_at(engine, to.address, to.options, observer=self._observer, datagrams=BoundSocket)
        )
        if any(not isinstance(one, BoundSocket) for one in found):
            for one in found:
                one.close()
            raise _no_datagrams(to.address)
        try:
            return Datagrams(engine, found, to.framing, to.options, observer=self._observer)
        except BaseException:
            for one in found:
                one.close()
            raise


@overload
def open_datagrams(
    address: str | Address, *, framing: TextFraming, **options: Unpack[DatagramsOptions]
) -> DatagramsContext[str]: ...
@overload
def open_datagrams(
    address: str | Address, *, framing: BytesFraming, **options: Unpack[DatagramsOptions]
) -> DatagramsContext[bytes]: ...
@overload
def open_datagrams(
    address: str | Address, *, framing: FramingLike[M], **options: Unpack[DatagramsOptions]
) -> DatagramsContext[M]: ...
@overload
def open_datagrams(
    address: str | Address, *, framing: str | None = None, **options: Unpack[DatagramsOptions]
) -> DatagramsContext[Any]: ...
def open_datagrams(
    address: str | Address,
    *,
    framing: object = None,
    engine: str | Engine | None = None,
    observer: Observer | None = None,
    **options: object,
) -> DatagramsContext[Any]:
    """Bind datagram sockets without sessions: `with` gives a `BlockingDatagrams`, `async with` a `Datagrams`.

        with open_datagrams("udp://:5514") as datagrams:
            for message, address in datagrams:
                datagrams.send_to(b"got " + message, address)

    `serve` and `listen` give a connection for each peer instead; take this where senders are many and say little.

    Args:
        address: where to receive: `udp://` (`udp4`, `udp6`), `unixgram://`, `ip://`, an inherited datagram socket
            (`fd:`, `systemd:`), or a short form (`:514`). A group is joined. Port 0 asks for a free port, for those
            who only send.
        framing: how messages lie in each datagram; None: what the address says, else `"chunks"`, a datagram each.
        engine: None: in async code the engine that runs, in plain code blocking.
        observer: receives the events `Resolved`, `Bound`, `Listening`, `DatagramsOverflowed` and `StoppedListening`.
        options: by the names of `Options`; they overrule the address's own.

    Raises:
        AddressError, OptionError: at once, before anything is opened.
        ResolveError, ListenError, DeadlineError: on opening.
    """
    parsed = Address.parse(address, default_scheme="udp")
    if parsed.transport.kind not in ("", "SOCK_DGRAM", "SOCK_RAW") or parsed.scheme in ("stdio", "exec"):
        raise _no_datagrams(parsed)
    endpoint = Endpoint.several([parsed], framing, options, verb="open_datagrams")[0]
    return DatagramsContext(endpoint, engine, observer)


def _no_datagrams(address: Address) -> AddressError:
    return AddressError(f"{address} has no datagrams without a connection; allowed are {_ALLOWED}")
