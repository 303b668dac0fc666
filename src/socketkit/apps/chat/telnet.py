"""Telnet's commands in a line of a guest: taken out, with the answer that refuses them (RFC 854).

Telnet begins no negotiation at a port other than its own, but it sends commands when a control key is typed. It takes
the byte 0x8f for such a key, so it breaks each `я` (d1 8f) into a command and waits for the answer before it shows
anything more.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["strip_telnet"]

MAX_ANSWER_SIZE: Final = 30
"""Bytes of answers to one line: ten negotiations; a client that sends more is no telnet."""

_BROKEN_LETTER: Final = re.compile(
    rb"(?<=[\xc2-\xf4])\xff\xf5\xff\xfd\x06|(?<=[\xc2-\xf4][\x80-\xbf])\xff\xf5\xff\xfd\x06"
)
"""Abort Output and Do Timing-Mark behind the first bytes of a UTF-8 character: what telnet sends in place of 0x8f."""

_COMMAND: Final = re.compile(
    rb"\xff(?:"
    rb"[\xfb-\xfe][\x00-\x7f]"  # WILL, WONT, DO, DONT and an option
    rb"|\xfa[^\xff]*\xff\xf0"  # a subnegotiation
    rb"|[\xf1-\xf9]"  # a command without an option
    rb")"
)
_REFUSALS: Final = {0xFB: 0xFE, 0xFD: 0xFC}  # WILL: DONT, DO: WONT; the other two need no answer


def strip_telnet(line: bytes) -> tuple[bytes, bytes]:
    """The line without telnet's commands, and the bytes that answer them.

    0xff is in no UTF-8 text, so a line of text is never changed. The answer refuses every option, each once a line.
    """
    if b"\xff" not in line:
        return line, b""
    answer = bytearray()

    def refuse(match: re.Match[bytes]) -> bytes:
        for command in _COMMAND.findall(match[0]):
            refusal = _REFUSALS.get(command[1])
            if refusal is not None and len(answer) < MAX_ANSWER_SIZE:
                each = bytes((0xFF, refusal, command[2]))
                answer.extend(b"" if each in answer else each)
        return b"\x8f" if match.re is _BROKEN_LETTER else b""

    line = _COMMAND.sub(refuse, _BROKEN_LETTER.sub(refuse, line))
    return line, bytes(answer)
