"""How bytes are written by a person and for one: as they are, escaped, or in hex; with CRLF line ends for the peer.

Each way is a filter: bytes in pieces, cut anywhere, become other bytes, and the end gives what was held back.
"""

from __future__ import annotations

import codecs
import re
from typing import Final, Protocol

from socketkit.apps.terminal_escape import visible
from socketkit.errors import FramingError

__all__ = ["INCOMING", "OUTGOING", "CrLf", "Escaped", "Filter", "FromHex", "Mixed", "ToHex", "Visible"]


class Filter(Protocol):
    """What becomes of bytes on their way; made anew for each conversation."""

    def feed(self, data: bytes) -> bytes:
        """What these bytes become; the beginning of something may be held back until the rest comes.

        Raises:
            FramingError: they are not written in this way.
        """

    def end(self) -> bytes:
        """What was held back; raises as `feed` does."""


class CrLf:
    """Each line feed becomes CR LF; one that has its CR already stays, also where a packet's border parts the two."""

    def __init__(self) -> None:
        self._after_cr = False

    def feed(self, data: bytes) -> bytes:
        if not data:
            return data
        text = re.sub(_BARE_LF, b"\r\n", data)
        if self._after_cr and data.startswith(b"\n"):
            text = text[1:]
        self._after_cr = data.endswith(b"\r")
        return text

    def end(self) -> bytes:
        return b""


_BARE_LF: Final = rb"(?<!\r)\n"


class FromHex:
    """Hex digits become bytes; white space and the letters' case do not matter: `48 65 6c6C 6f`."""

    def __init__(self) -> None:
        self._half = b""

    def feed(self, data: bytes) -> bytes:
        digits = self._half + b"".join(data.split())
        wrong = re.search(_NO_HEX, digits)
        if wrong is not None:
            shown = repr(wrong[0].decode(errors="replace"))
            raise FramingError(
                f"--in hex: {shown} is no hex digit; allowed are 0-9, a-f and white space", framing="hex"
            )
        whole = len(digits) // 2 * 2
        self._half = digits[whole:]
        return bytes.fromhex(digits[:whole].decode())

    def end(self) -> bytes:
        if self._half:
            raise FramingError(
                f"--in hex: the last digit {self._half.decode()!r} is alone; a byte has two", framing="hex"
            )
        return b""


_NO_HEX: Final = rb"[^0-9A-Fa-f]"


class Escaped:
    r"""`\n`, `\r`, `\t`, `\0`, `\e`, `\\` and `\xNN` become the bytes that they mean. A line's own end is left out, so
    that a person's Enter sends what was typed and nothing more."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        data = self._rest + data
        cut = re.search(_HALF, data)
        self._rest = cut[0] if cut else b""
        whole = data[: len(data) - len(self._rest)]
        return re.sub(_ESCAPE, self._meant, whole.replace(b"\r\n", b"").replace(b"\n", b""))

    def end(self) -> bytes:
        if self._rest:
            raise FramingError(f"the escape {self._rest!r} is cut at the end of the input", framing="escaped")
        return b""

    @staticmethod
    def _meant(match: re.Match[bytes]) -> bytes:
        escape = match[0]
        if len(escape) == 4:
            return bytes([int(escape[2:], 16)])
        meant = _MEANT.get(escape[1:])
        if meant is None:
            allowed = "\\n \\r \\t \\0 \\e \\\\ \\xNN"
            raise FramingError(
                f"{escape.decode(errors='replace')!r} is no escape; allowed are {allowed}", framing="escaped"
            )
        return meant


_ESCAPE: Final = rb"(?s)\\(?:x[0-9A-Fa-f]{2}|.)"
_HALF: Final = rb"(?<!\\)(?:\\\\)*(\\(?:x[0-9A-Fa-f]?)?)\Z"
_MEANT: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"e": b"\x1b", b"\\": b"\\"}


class ToHex:
    """Bytes become rows of sixteen, in hex; each piece that comes begins a row of its own."""

    def feed(self, data: bytes) -> bytes:
        rows = (data[start : start + 16].hex(" ") for start in range(0, len(data), 16))
        return "".join(f"{row}\n" for row in rows).encode()

    def end(self) -> bytes:
        return b""


class Mixed:
    """Text stays text, and everything else is written out as `\\xNN`; line ends are kept, and shown where CR is."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def feed(self, data: bytes) -> bytes:
        return self._shown(self._decoder.decode(data))

    def end(self) -> bytes:
        return self._shown(self._decoder.decode(b"", final=True))

    @staticmethod
    def _shown(text: str) -> bytes:
        return "\n".join(map(visible, text.split("\n"))).encode(errors="backslashreplace")


class Visible(Mixed):
    """What a terminal is shown: as `mixed`, but the CR of a CR LF is no control character: lines are shown as lines."""

    def __init__(self) -> None:
        super().__init__()
        self._cr = b""

    def feed(self, data: bytes) -> bytes:
        data = self._cr + data
        self._cr = b"\r" if data.endswith(b"\r") else b""
        whole = data[:-1] if self._cr else data
        return super().feed(whole.replace(b"\r\n", b"\n"))

    def end(self) -> bytes:
        return super().feed(self._cr) + super().end()


OUTGOING: Final[dict[str, type[Filter] | None]] = {"text": None, "escaped": Escaped, "hex": FromHex}
"""How what is typed may be written, by the name that `--in` takes."""

INCOMING: Final[dict[str, type[Filter] | None]] = {"text": None, "hex": ToHex, "mixed": Mixed}
"""How what comes may be shown, by the name that `--out` takes."""
