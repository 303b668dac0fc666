"""The certificates of one server: read when it opens, and again while it serves; open connections keep theirs."""

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
    """The server sides of one server, one for each different `TLS` of its addresses.

    Args:
        observer: gets `SelfSigned` and `CertificatesReloaded`.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer
        self._sides: dict[TLS, ServerSide] = {}

    def prepare(self, options: Options) -> None:
        """Read the certificates for addresses with these options. A second call does nothing.

        Args:
            options: see `effective_options`, so that `tls` is a `TLS` or no.

        Raises:
            OptionError: a file cannot be used.
        """
        tls = options.tls
        if not isinstance(tls, TLS) or tls in self._sides:
            return
        from socketkit.tls.context import ServerSide  # loads OpenSSL

        side = self._sides[tls] = ServerSide(tls)
        if tls.self_signed and self._observer is not None:
            self._observer(SelfSigned(side.pins[0]))

    def side(self, options: Options) -> ServerSide | None:
        """The side that was prepared for these options; None where plain bytes are sent."""
        return self._sides[options.tls] if isinstance(options.tls, TLS) else None

    def reload(self) -> None:
        """Read every certificate again, for handshakes from now on.

        Raises:
            OptionError: a file cannot be used; its side keeps what it had.
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
        """The pins of all keys, by which clients can trust them without an authority."""
        return tuple(dict.fromkeys(pin for side in self._sides.values() for pin in side.pins))

    @property
    def is_needed(self) -> bool:
        """Whether any address of the server uses TLS."""
        return bool(self._sides)
