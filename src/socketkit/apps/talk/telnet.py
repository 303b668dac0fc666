"""Telnet's commands between the bytes (RFC 854, 855): answered politely, and never shown.

We have none of its options: what the peer offers is declined (DONT), what it asks for is refused (WONT), each once, so
that two ends do not refuse each other for ever (RFC 854, "loops").
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["Telnet"]

IAC: Final = 255
_DONT, _DO, _WONT, _WILL, _SB, _SE = 254, 253, 252, 251, 250, 240
_AYT: Final = 246
"""Are you there: to be answered with something that a person can see."""

_SPEAK: Final = {_DO: _WONT, _WILL: _DONT}


class _State(Enum):
    DATA = 0
    COMMAND = 1
    OPTION = 2
    INSIDE = 3
    INSIDE_COMMAND = 4


class Telnet:
    """One conversation's negotiation, in both directions."""

    def __init__(self) -> None:
        self._state = _State.DATA
        self._verb = 0
        self._after_cr = False
        self._answered: set[tuple[int, int]] = set()
        self._answers = bytearray()

    def escape(self, data: bytes) -> bytes:
        """What is sent for these bytes: an IAC among them is doubled."""
        return data.replace(b"\xff", b"\xff\xff")

    def feed(self, data: bytes) -> bytes:
        """The peer's bytes without its commands, and CR NUL as the CR that it means."""
        out = bytearray()
        for byte in data:
            self._take(byte, out)
        return bytes(out)

    def end(self) -> bytes:
        """Nothing is held back: a command that was cut is none."""
        return b""

    def take_answers(self) -> bytes:
        """What is to be sent back, since the last time."""
        answers, self._answers = bytes(self._answers), bytearray()
        return answers

    def _take(self, byte: int, out: bytearray) -> None:
        state = self._state
        if state is _State.DATA:
            if byte == IAC:
                self._state = _State.COMMAND
            elif not (byte == 0 and self._after_cr):
                out.append(byte)
            self._after_cr = byte == 13
        elif state is _State.COMMAND:
            self._command(byte, out)
        elif state is _State.OPTION:
            self._state = _State.DATA
            self._answer(self._verb, byte)
        elif state is _State.INSIDE:
            if byte == IAC:
                self._state = _State.INSIDE_COMMAND
        else:
            self._state = _State.DATA if byte == _SE else _State.INSIDE

    def _command(self, byte: int, out: bytearray) -> None:
        self._state = _State.DATA
        if byte == IAC:
            out.append(IAC)
        elif byte in (_DO, _DONT, _WILL, _WONT):
            self._verb, self._state = byte, _State.OPTION
        elif byte == _SB:
            self._state = _State.INSIDE
        elif byte == _AYT:
            self._answers += b"[yes]\r\n"

    def _answer(self, verb: int, option: int) -> None:
        if verb in _SPEAK and (verb, option) not in self._answered:
            self._answered.add((verb, option))
            self._answers += bytes([IAC, _SPEAK[verb], option])
