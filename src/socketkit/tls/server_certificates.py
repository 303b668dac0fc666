"""The certificates of one server: read when it opens, and anew while it serves, without disturbing a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketkit.config.options import Options
from socketkit.config.tls_settings import TLS
from socketkit.errors import OptionError
from socketkit.events import CertificatesReloaded, Observer, SelfSigned

if TYPE_CHECKING:
    from socketkit.tls.context import ServerSide

__all__ = ["Certificates"]


class Certificates:
    """What callers are shown, for each way in which TLS is spoken.

    Args:
        observer: is told of certificates of our own making, and of those read anew.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer
        self._sides: dict[TLS, ServerSide] = {}

    def prepare(self, options: Options) -> None:
        """Read what callers at an address with these options will be shown. Harmless twice.

        Args:
            options: `settled`, so that `tls` is a `TLS` or no.

        Raises:
            OptionError: a file cannot be used.
        """
        tls = options.tls
        if not isinstance(tls, TLS) or tls in self._sides:
            return
        from socketkit.tls.context import ServerSide  # only who speaks TLS pays for it

        side = self._sides[tls] = ServerSide(tls)
        if tls.self_signed and self._observer is not None:
            self._observer(SelfSigned(side.pins[0]))

    def side(self, options: Options) -> ServerSide | None:
        """What was prepared for these options; None where plain bytes are spoken."""
        return self._sides[options.tls] if isinstance(options.tls, TLS) else None

    def reload(self) -> None:
        """Read every certificate anew, for callers from now on.

        Raises:
            OptionError: a file cannot be used; what was read before stays.
        """
        failure: OptionError | None = None
        for side in self._sides.values():
            try:
                side.reload()
            except OptionError as error:
                failure = failure or error
        if self._observer is not None:
            self._observer(CertificatesReloaded(failure))
        if failure is not None:
            raise failure

    @property
    def pins(self) -> tuple[str, ...]:
        """What clients pin to trust the keys that are shown here."""
        return tuple(dict.fromkeys(pin for side in self._sides.values() for pin in side.pins))

    @property
    def is_needed(self) -> bool:
        """Whether TLS is spoken anywhere."""
        return bool(self._sides)
