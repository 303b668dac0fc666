"""Tokens of a chat with a password: who gave the password once need not give it again when its page is loaded anew."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

__all__ = ["Tokens"]

TOKEN_TIME: Final = 7 * 24 * 3600
"""Seconds for which a token is good."""

_MARK_SIZE: Final = 32


class Tokens:
    """Makes and checks tokens of one password.

    A token is a moment and a mark of it (HMAC-SHA256), keyed by the password through scrypt. So tokens outlive the
    host, end when the password is changed, and are kept nowhere here; a token alone does not make guessing cheap.
    """

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._known_key: bytes | None = None

    def make(self, now: float) -> str:
        """A token for somebody who has given the password.

        Args:
            now: seconds since 1970.
        """
        until = int(now + TOKEN_TIME).to_bytes(8)
        return base64.urlsafe_b64encode(until + self._mark(until)).decode().rstrip("=")

    def is_good(self, token: str, now: float) -> bool:
        """Whether this is a token of this password, and its time is not over."""
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return False
        until, mark = data[:8], data[8:]
        if len(mark) != _MARK_SIZE or int.from_bytes(until) <= now:
            return False
        return hmac.compare_digest(mark, self._mark(until))

    def _mark(self, until: bytes) -> bytes:
        return hmac.digest(self._key, until, "sha256")

    @property
    def _key(self) -> bytes:
        if self._known_key is None:  # takes tens of milliseconds, once
            salt = b"socketkit chat token"
            self._known_key = hashlib.scrypt(self._password, salt=salt, n=2**14, r=8, p=1, dklen=32)
        return self._known_key
