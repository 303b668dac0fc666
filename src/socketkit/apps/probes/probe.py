"""What every probe promises, and the plain probe: a connection is accepted."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from typing import Final

from socketkit.client.dial import open_stream
from socketkit.config.address import Address
from socketkit.config.durations import format_duration
from socketkit.config.options import Options
from socketkit.config.time_limits import PROBE_CLOSE_TIMEOUT
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import DeadlineError, OpenError, OptionError, SocketkitError, StreamError
from socketkit.events import Observer
from socketkit.streams.stream import Stream
from socketkit.values import Value, replace

__all__ = ["AcceptProbe", "Look", "Probe"]

_REFUSED: Final = (errno.ECONNREFUSED, errno.ENOENT)
"""Errors that prove that an address is free. No answer, no route or an unknown name prove nothing."""

_NO_SUCH_PLACE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH)
"""Of a name with several addresses, one that this machine cannot even ask at: the others decide."""

_OPENED_HERE: Final = ("stdio", "fd", "systemd")


class Look(Value):
    """One look, and what it may use.

    Attributes:
        engine: runs already.
        options: of the connection; `connect_timeout` bounds the whole look.
        closings: runs what closes a connection after the look.
        observer: receives the events.
    """

    engine: Engine
    options: Options
    closings: Group
    observer: Observer | None = None

    @property
    def timeout_text(self) -> str:
        """The time of the look, for a reason."""
        return format_duration(round(self.options.connect_timeout or 0.0, 2))

    async def open(self, address: Address) -> Stream:
        """Connect; raises as `open_stream`."""
        return await open_stream(self.engine, address, self.options, observer=self.observer)

    def close(self, stream: Stream) -> None:
        """Close gracefully, in the background: no server logs a reset."""
        self.closings.start(_close_gracefully(stream))


class Probe(ABC):
    """One target, and the way to ask whether it is ready.

    Attributes:
        address: where it is.
    """

    address: Address

    @abstractmethod
    async def look(self, look: Look) -> str | None:
        """Look once, within `look.options.connect_timeout`.

        Returns:
            None when the target is ready; else the reason in plain words, without the target's name.

        Raises:
            OptionError: what was asked for cannot be done at this target.
            ConnectError: a command is not there, or cannot be run.

        Cancellation: every descriptor that was opened is closed, and a child is ended.
        """

    @property
    def default_timeout(self) -> float | None:
        """Seconds of one look where nothing else is said; None: as for a connection."""
        return None


class AcceptProbe(Probe):
    """Ready when the system completes a connection; with `free`, when every address refuses one."""

    def __init__(self, address: Address, *, free: bool = False) -> None:
        """Raises:
        OptionError: no connection is accepted at such an address.
        """
        if address.scheme in _OPENED_HERE:
            raise OptionError(f"{address}: wait is for listeners; {address.scheme}: names no listener")
        if address.transport.kind == "SOCK_RAW" or (address.transport.kind == "SOCK_DGRAM" and not address.path):
            raise OptionError(
                f"{address}: {address.scheme} has no connections: a look cannot tell whether a program receives there; "
                "give a datagram that is answered (--send TEXT --expect REGEX), or take tcp, tls, unix, unixpacket, "
                "unixgram or vsock"
            )
        self.address = address
        self._free = free

    def __str__(self) -> str:
        return str(self.address)

    async def look(self, look: Look) -> str | None:
        try:
            stream = await look.open(self.address)
        except (OpenError, StreamError, DeadlineError) as error:
            return None if self._free and _is_refused(error) else reason_of_failure(self.address, error)
        look.close(stream)
        return "a connection is accepted there" if self._free else None


async def _close_gracefully(stream: Stream) -> None:
    """Half-close, and discard what the peer sends for a moment."""
    engine = stream.engine
    deadline = engine.now() + PROBE_CLOSE_TIMEOUT
    try:
        await stream.send_eof(deadline=deadline)
        while True:
            await stream.receive(deadline=deadline)
    except (StreamError, DeadlineError):
        pass  # the end, a loss, or a peer that sends on
    finally:
        stream.close()


def _is_refused(error: SocketkitError) -> bool:
    numbers = [attempt.errno for attempt in error.attempts]
    places = [number for number in numbers if number not in _NO_SUCH_PLACE]
    return bool(places) and all(number in _REFUSED for number in places)


def reason_of_failure(address: Address, error: SocketkitError) -> str:
    """Why a connection could not be opened, or was lost, without the address in front."""
    if error.attempts:
        return "; ".join(dict.fromkeys(attempt.reason for attempt in error.attempts))
    return str(error).removeprefix(f"{address}: ")


def options_within(options: Options, seconds: float) -> Options:
    """The options of a look each of whose steps has at most so many seconds."""
    limits = {name: getattr(options, name) for name in ("connect_timeout", "handshake_timeout")}
    return replace(options, **{name: seconds if own is None else min(seconds, own) for name, own in limits.items()})
