"""Messages with addresses, over one or more bound datagram sockets, in async code on any engine."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable
from itertools import takewhile
from socket import socket as Socket  # noqa: N812 - a property has its name
from types import TracebackType
from typing import Any, Final, Generic, TypeAlias

from socketkit._core import Datagram
from socketkit.config.address import Address
from socketkit.config.durations import parse_timeout
from socketkit.config.options import Options
from socketkit.datagrams.bound_socket import BoundSocket
from socketkit.datagrams.targets import Targets
from socketkit.engines.condition import Condition
from socketkit.engines.descriptor_set import DescriptorSet
from socketkit.engines.engine import READ, WRITE, Engine
from socketkit.errors import (
    BrokenError,
    BusyError,
    ClosedError,
    DeadlineError,
    FrameTooLongError,
    SocketkitError,
)
from socketkit.events import Observer
from socketkit.framing.adapter import adapt
from socketkit.framing.chunks import Chunks
from socketkit.framing.codec import Framing, M
from socketkit.sockets.calls import reason_of
from socketkit.streams.datagram_socket import SendBackoff, too_long_to_receive, why_not_sent
from socketkit.values import Value

__all__ = ["Datagrams", "DatagramsStatistics"]

MAX_BATCH: Final = 256
"""Datagrams that one sweep of a socket takes from the system, before other tasks run."""


_Ready: TypeAlias = tuple[BoundSocket, Any, bytes, "str | Address"]
"""A datagram to send: from which socket, to which name, the data, and the address for error texts."""


class DatagramsStatistics(Value):
    """The counts of open datagram sockets.

    Attributes:
        received_count, sent_count: datagrams so far.
        received_size, sent_size: their bytes.
        queued_count: messages that were taken from the system, and not received yet.
        kernel_dropped_count: datagrams that the kernel dropped because the receive buffer was full (`receive_buffer`
            makes it larger); None where the system does not say, as for UNIX sockets, whose senders wait instead.
    """

    received_count: int
    sent_count: int
    received_size: int
    sent_size: int
    queued_count: int
    kernel_dropped_count: int | None


class Datagrams(Generic[M]):
    """Bound datagram sockets, without sessions: each message comes with the address of its sender, and goes to any.

    Made by `open_datagrams`. Each datagram is framed alone, as in every datagram connection of this package. With
    `chunks` (the default) a datagram is a message.

    Concurrency: one task at a time receives (`BusyError`), any number may send.
    """

    def __init__(
        self,
        engine: Engine,
        sockets: list[BoundSocket],
        framing: Framing,
        options: Options,
        *,
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._sockets = sockets
        self._framing = framing
        self._codec = adapt(framing.codec())
        self._targets = Targets(engine, sockets, options, observer=observer)
        self._set: DescriptorSet | None = None
        if len(sockets) > 1:
            self._set = DescriptorSet(engine, READ)
            for bound in sockets:
                self._set.add(bound.descriptor)
        self._is_whole = isinstance(framing, Chunks)  # a datagram is a message
        self._queue: deque[Any] = deque()  # pairs of a message and an address, and faults in their places
        self._fault_count = 0  # of the queue
        self._first = 0  # the socket that the next sweep begins with
        self._is_full = False  # whether the last sweep ended by its bound
        self._is_receiving = False
        self._is_blocked = False  # whether a sender waits for space in a socket's send buffer
        self._room = Condition(engine)
        self._is_closed = False
        self._received_count = self._sent_count = self._received_size = self._sent_size = 0

    # Receiving

    async def receive_from(self, *, timeout: float | str | None = None) -> tuple[M, Address]:
        """Return the next message and the address of its sender.

        Args:
            timeout: seconds to wait at most; 0: only what is there; None: no limit.

        Raises:
            DeadlineError: nothing came within `timeout`.
            FramingError: a datagram does not follow the framing; it names the sender. Messages before the error in
                the datagram were returned; the next call goes on with the next datagram.
            FrameTooLongError: a datagram was larger than `receive_size`; nothing of it is returned. As above.
            BusyError: another task receives.
            ClosedError: it was closed here.
            BrokenError: the socket cannot be received from any more (its network device has gone, say).

        Cancellation: no message is lost; the next call returns it.
        """
        if not self._queue or self._is_receiving or self._is_closed:
            await self._fill(timeout)
        found: tuple[M, Address] | _Fault = self._queue.popleft()
        if isinstance(found, _Fault):
            self._fault_count -= 1
            raise found.error
        return found

    async def receive_many_from(self, *, timeout: float | str | None = None) -> list[tuple[M, Address]]:
        """Return every message that is there, with the address of its sender, in order; wait for the first one.

        At most 256 datagrams are taken from the system by one call, so that other tasks have their turn. A wrong
        datagram ends the list; the next call raises its error.

        Args and errors are those of `receive_from`.
        """
        if not self._queue or self._is_receiving or self._is_closed:
            await self._fill(timeout)
        elif len(self._queue) < MAX_BATCH:
            self._sweep()
        if not self._fault_count:
            received: list[tuple[M, Address]] = list(self._queue)
            self._queue.clear()
            return received
        received = list(takewhile(lambda found: not isinstance(found, _Fault), self._queue))
        if not received:
            return [await self.receive_from()]  # raises the error
        for _ in received:
            self._queue.popleft()
        return received

    def __aiter__(self) -> Datagrams[M]:
        return self

    async def __anext__(self) -> tuple[M, Address]:
        """The next pair, as `receive_from`; an iteration has no end, since datagrams have none."""
        return await self.receive_from()

    async def _fill(self, timeout: float | str | None) -> None:
        """Receive until there is a message, or an error to raise."""
        if self._is_receiving:
            raise BusyError(f"another task already receives at {self.local}: one at a time")
        deadline = self._engine.deadline(timeout)
        self._is_receiving = True
        try:
            if self._is_full:
                self._is_full = False
                await self._engine.checkpoint()
            self._sweep()
            while not self._queue:
                await self._wait(deadline)
                self._sweep()
        except DeadlineError:
            raise DeadlineError(
                f"receiving at {self.local}: no message within {parse_timeout(timeout or 0):g} s"
            ) from None
        finally:
            self._is_receiving = False

    async def _wait(self, deadline: float | None) -> None:
        if self._set is None:
            await self._engine.wait(self._sockets[0].descriptor, READ, deadline)
        else:
            await self._set.wait(deadline=deadline)

    def _sweep(self) -> None:
        """Take what the system has queued, from each socket in turn."""
        if self._is_closed:
            raise self._closed_error()
        sockets = self._sockets
        left = MAX_BATCH
        self._first = (self._first + 1) % len(sockets)
        for bound in sockets[self._first :] + sockets[: self._first]:
            try:
                batch = bound.receive(left)
            except OSError as error:
                if self._is_closed:
                    raise self._closed_error() from None
                if self._queue:
                    break  # the next call raises it
                raise BrokenError(f"receiving at {bound.address}: {reason_of(error)}", errno=error.errno) from None
            left -= len(batch)
            self._take(bound, batch)
            if left <= 0:
                self._is_full = True
                bound.report_drops()
                break

    def _take(self, bound: BoundSocket, batch: list[Datagram]) -> None:
        """Queue what came at a socket: messages, and in their places errors."""
        sizes = [size for _, size, _ in batch]
        self._received_count += len(sizes)
        self._received_size += sum(sizes)
        if self._is_whole and (not sizes or max(sizes) <= bound.receive_size):
            self._queue.extend(self._targets.with_senders(bound, batch))
            return
        for data, size, name in batch:
            try:
                self._decode(bound, data, size, name)
            except SocketkitError as error:
                self._queue.append(_Fault(error))
                self._fault_count += 1

    def _decode(self, bound: BoundSocket, data: bytes, size: int, name: Any) -> None:
        """Queue the messages of one datagram.

        Raises:
            FramingError: something is wrong with it; the messages before that are queued.
        """
        address = self._targets.sender(bound, name)
        if size > bound.receive_size:
            raise too_long_to_receive(str(address), size, bound.receive_size)
        feed_whole = self._codec.feed_whole
        try:
            if feed_whole is not None:
                self._queue.extend([(message, address) for message in feed_whole(data)])
                return
            codec = adapt(self._framing.codec())
            self._queue.extend([(message, address) for message in codec.feed(data)])
            self._queue.extend([(message, address) for message in codec.feed_eof()])
        except SocketkitError as error:
            error.add_note(f"in a datagram of {size} bytes from {address}")
            raise

    # Sending

    async def send_to(self, message: Any, address: str | Address, *, timeout: float | str | None = None) -> None:
        """Send one message as one datagram; return when the system has it.

        A numeric address and a path are used as they are. A name is resolved by the first send, and its first address
        of our family is used for a minute. The address that came with a message needs no lookup.

        Args:
            message: as the framing takes it.
            address: where to, an `Address` or text (`udp://10.0.0.1:514`, `10.0.0.1:514`).
            timeout: seconds to wait at most, for the name and for space in the system's buffers; None: no limit.

        Raises:
            AddressError: not an address of datagrams, of a family that is not open here, or without a port.
            ResolveError: the name is unknown.
            FrameTooLongError: the message does not go into one datagram (65 507 bytes over IPv4); nothing was sent.
            FramingError: the message cannot be framed.
            BrokenError: the system refused it: no route, no permission to broadcast (`broadcast=yes`), nothing at the
                path. The sockets go on.
            DeadlineError: there was no space within `timeout`; nothing was sent.
            ClosedError: it was closed here.

        Cancellation: the message was sent whole or not at all.
        """
        if self._is_closed:
            raise self._closed_error()
        data = self._codec.encode((message,))
        deadline = None if timeout is None else self._engine.deadline(timeout)
        bound, name = self._targets.known(address) or await self._targets.find(address, timeout)
        if len(data) > bound.max_size:
            raise _too_long_to_send(len(data), bound.max_size)
        if not self._is_blocked or bound.is_unix:
            try:
                bound.socket.sendto(data, name)
            except OSError as error:
                if not isinstance(error, BlockingIOError) and error.errno != errno.ENOBUFS:
                    raise self._send_error(error, bound, address, len(data)) from None
            else:
                self._count_sent(len(data))
                return
        await self._send_next(bound, name, data, address, deadline, timeout)

    async def send_many_to(
        self, messages: Iterable[tuple[Any, str | Address]], *, timeout: float | str | None = None
    ) -> None:
        """Send many messages, each as one datagram to its address, in order; return when the system has them all.

        Takes what `receive_many_from` returns. Up to 64 datagrams are one system call, where the system has
        sendmmsg(2). Every message is framed, and every name resolved, before the first datagram is sent.

        Args:
            messages: pairs of a message and an address, as `send_to` takes them.
            timeout: seconds to wait at most, for all of them; None: no limit.

        Raises:
            AddressError, ResolveError, FrameTooLongError, FramingError: of any of them, as in `send_to`; nothing was
                sent.
            BrokenError, DeadlineError, ClosedError: as in `send_to`. A note of the error says how many were sent.

        Cancellation: each message was sent whole or not at all; `statistics().sent_count` counts those sent.
        """
        deadline = None if timeout is None else self._engine.deadline(timeout)
        ready: list[_Ready] = []
        for message, address in messages:
            if self._is_closed:
                raise self._closed_error()
            data = self._codec.encode((message,))
            bound, name = self._targets.known(address) or await self._targets.find(address, timeout)
            if len(data) > bound.max_size:
                raise _too_long_to_send(len(data), bound.max_size)
            ready.append((bound, name, data, address))
        at = 0
        try:
            while at < len(ready):
                batch = ready[at : at + MAX_BATCH]
                sent = self._send_some(batch)
                if sent == 0:
                    bound, name, data, address = batch[0]
                    await self._send_next(bound, name, data, address, deadline, timeout)
                at += sent or 1
                if len(batch) == MAX_BATCH:
                    await self._engine.checkpoint()
        except SocketkitError as error:
            error.add_note(f"{at} of the {len(ready)} messages were sent")
            raise

    def _send_some(self, batch: list[_Ready]) -> int:
        """Send datagrams until one has to wait; return how many were sent."""
        count = 0
        while count < len(batch):
            if self._is_closed:
                raise self._closed_error()
            bound, _, data, address = batch[count]
            if self._is_blocked and not bound.is_unix:
                break
            run = []
            for each, name, datagram, _ in batch[count:]:
                if each is not bound:
                    break
                run.append((datagram, name))
            try:
                sent = bound.send(run)
            except OSError as error:
                if count or error.errno == errno.ENOBUFS:
                    break
                raise self._send_error(error, bound, address, len(data)) from None
            if not sent:
                break
            for datagram, _ in run[:sent]:
                self._count_sent(len(datagram))
            count += sent
        return count

    async def _send_next(
        self,
        bound: BoundSocket,
        name: Any,
        data: bytes,
        address: str | Address,
        deadline: float | None,
        timeout: float | str | None,
    ) -> None:
        """Send one datagram when there is space."""
        try:
            await self._send_waiting(bound, name, data, address, deadline)
        except DeadlineError:
            raise DeadlineError(
                f"sending to {address}: the system had no buffer space within {parse_timeout(timeout or 0):g} s; "
                "not sent"
            ) from None

    async def _send_waiting(
        self, bound: BoundSocket, name: Any, data: bytes, address: str | Address, deadline: float | None
    ) -> None:
        """Send when there is space. For a socket's own buffer one task waits, and the others behind it."""
        backoff = SendBackoff(self._engine)
        has_turn = False
        try:
            while True:
                if not bound.is_unix and not has_turn:
                    await self._room.wait_until(lambda: not self._is_blocked, deadline=deadline)
                    has_turn = self._is_blocked = True
                if self._is_closed:
                    raise self._closed_error()
                try:
                    bound.socket.sendto(data, name)
                    self._count_sent(len(data))
                    return
                except OSError as error:
                    is_full = isinstance(error, BlockingIOError)
                    if not (is_full or error.errno == errno.ENOBUFS):
                        raise self._send_error(error, bound, address, len(data)) from None
                    # No poller reports space in a UNIX peer's queue, or in a device's.
                    if (bound.is_unix or not is_full) and not backoff.refused(error):
                        raise self._send_error(error, bound, address, len(data)) from None
                if backoff.is_active:
                    await backoff.wait(deadline)
                else:
                    await self._engine.wait(bound.descriptor, WRITE, deadline)
        finally:
            if has_turn:
                self._is_blocked = False
                self._room.notify()

    def _count_sent(self, size: int) -> None:
        self._sent_count += 1
        self._sent_size += size

    def _send_error(self, error: OSError, bound: BoundSocket, address: str | Address, size: int) -> SocketkitError:
        if self._is_closed:
            return self._closed_error()
        return why_not_sent(error, bound.socket, str(address), size)

    # The rest

    @property
    def local(self) -> Address:
        """Our address, with the port that the system has chosen; the first, where a name stands for several."""
        return self._sockets[0].address

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Every address that is open: `udp://` and a name may stand for one of each family, on one port."""
        return tuple(bound.address for bound in self._sockets)

    @property
    def socket(self) -> Socket:
        """The real socket at `local`, for its options."""
        return self._sockets[0].socket

    @property
    def sockets(self) -> tuple[Socket, ...]:
        """The real sockets, in the order of `addresses`."""
        return tuple(bound.socket for bound in self._sockets)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    def statistics(self) -> DatagramsStatistics:
        """The counts now."""
        drops = [count for bound in self._sockets if (count := bound.kernel_drops) is not None]
        return DatagramsStatistics(
            received_count=self._received_count,
            sent_count=self._sent_count,
            received_size=self._received_size,
            sent_size=self._sent_size,
            queued_count=len(self._queue),
            kernel_dropped_count=sum(drops) if drops else None,
        )

    async def close(self) -> None:
        """Close the sockets; a task that waits here gets `ClosedError`. What is queued is dropped. Harmless twice."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._set is not None:
            self._set.close()
        for bound in self._sockets:
            bound.close()
        self._queue.clear()
        self._fault_count = 0
        self._room.notify()

    def _closed_error(self) -> ClosedError:
        return ClosedError(f"the datagram socket at {self.local} was closed here")

    async def __aenter__(self) -> Datagrams[M]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return f"<Datagrams {' '.join(map(str, self.addresses))}, {state}>"


def _too_long_to_send(size: int, limit: int) -> FrameTooLongError:
    return FrameTooLongError(
        f"a message of {size} bytes does not go into one datagram, which holds {limit}: send less at a time, or use a "
        "stream (tcp, unix)",
        size=size,
        max_size=limit,
    )


class _Fault:
    """In the queue: an error of one datagram, to be raised in its place."""

    __slots__ = ("error",)

    def __init__(self, error: SocketkitError) -> None:
        self.error = error
