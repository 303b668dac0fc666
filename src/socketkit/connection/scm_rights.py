"""Descriptors that travel with the bytes of a UNIX socket (unix(7), SCM_RIGHTS).

Bounded: what nobody takes is held up to a number, and closed with the rest. No child inherits what has arrived.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

__all__ = ["MAX_DESCRIPTORS", "Parcel", "ScmRights"]

MAX_DESCRIPTORS: Final = 253
"""As many as Linux lets travel with one message (SCM_MAX_FD), and as many as we hold for one who does not take them."""

_SIZE: Final = array.array("i").itemsize


class Parcel:
    """Descriptors that came together.

    Attributes:
        descriptors: they are the holder's to close.
        number: of the message that they came with, as far as it is known by now.
    """

    def __init__(self, descriptors: list[int]) -> None:
        self.descriptors = descriptors
        self.number: int | None = None

    def close(self) -> None:
        """Nobody wants them."""
        while self.descriptors:
            os.close(self.descriptors.pop())


class ScmRights:
    """What leaves by one socket, and what has arrived there. Its `send` and `receive` stand in for the socket's."""

    def __init__(self, sock: socket.socket, settle: Callable[[], object]) -> None:
        """Args:
        sock: a UNIX stream socket.
        settle: is called before bytes are received: what came before is understood by then.
        """
        self._socket = sock
        self._settle = settle
        self._leaving: list[int] = []
        self.arrived: list[Parcel] = []

    # --- leaving ---

    def attach(self, descriptors: Sequence[int]) -> None:
        """These go with the next byte. The caller may close his at once: copies travel.

        Raises:
            OSError: one of them is not open, or there is no room for copies; none is attached then.
        """
        copies = Parcel([])
        try:
            for descriptor in descriptors:
                copies.descriptors.append(os.dup(descriptor))
        except OSError:
            copies.close()
            raise
        self._leaving = copies.descriptors

    def detach(self) -> bool:
        """They go with no byte any more; whether they were still here."""
        were_here = bool(self._leaving)
        Parcel(self._leaving).close()
        return were_here

    def send(self, data: bytes | memoryview, flags: int = 0) -> int:
        """send(2), or sendmsg(2) where descriptors are to go along."""
        if not self._leaving:
            return self._socket.send(data, flags)
        rights = array.array("i", self._leaving)
        count = self._socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], flags)
        if count:
            self.detach()  # the system has its own now
        return count

    # --- arriving ---

    def receive(self, size: int, flags: int = 0) -> bytes:
        """recvmsg(2): bytes, and descriptors that came with them.

        Raises:
            OSError: as recv(2); EMFILE where some were lost because this process may have no more, or because nobody
                has taken those that came before.
        """
        self._settle()
        space = socket.CMSG_SPACE(MAX_DESCRIPTORS * _SIZE)
        data, told, marks, _ = self._socket.recvmsg(size, space, flags | getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        if told or marks & socket.MSG_CTRUNC:
            self._hold(told, bool(marks & socket.MSG_CTRUNC))
        return data

    def _hold(self, told: list[tuple[int, int, bytes]], is_cut: bool) -> None:
        parcel = Parcel([])
        for level, kind, data in told:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(data[: len(data) - len(data) % _SIZE])
                parcel.descriptors.extend(numbers)
        for descriptor in parcel.descriptors:
            os.set_inheritable(descriptor, False)  # where MSG_CMSG_CLOEXEC is not known
        held = sum(len(other.descriptors) for other in self.arrived)
        if is_cut or held + len(parcel.descriptors) > MAX_DESCRIPTORS:
            parcel.close()
            reason = "this process may open no more" if is_cut else f"{held} that came before were not taken"
            raise OSError(errno.EMFILE, f"descriptors that came were lost, because {reason}")
        if parcel.descriptors:
            self.arrived.append(parcel)

    def take(self, number: int) -> tuple[int, ...]:
        """Those that came with a message; those of messages before it are closed, as nobody took them."""
        taken: list[int] = []
        kept: list[Parcel] = []
        for parcel in self.arrived:
            if parcel.number == number:
                taken.extend(parcel.descriptors)
            elif parcel.number is not None and parcel.number < number:
                parcel.close()
            else:
                kept.append(parcel)
        self.arrived = kept
        return tuple(taken)

    def close(self) -> None:
        """Close whatever is held, in both directions."""
        self.detach()
        while self.arrived:
            self.arrived.pop().close()
