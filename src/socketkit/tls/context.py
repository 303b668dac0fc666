"""Whom a side trusts, and what it shows of itself: from the words of `TLS` to what OpenSSL takes.

A client's side is shared by equal settings as long as their files stay the same: to read the system's authorities costs
more than a handshake, and its memory of sessions is what makes the next handshake short. A server's side can be read
anew while it serves. `ssl` and `cryptography` are imported when the first of them is made.
"""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from socketkit.config.host import host_family
from socketkit.config.tls_settings import TLS
from socketkit.errors import OptionError
from socketkit.tls.x509 import Certificate, read_certificate

if TYPE_CHECKING:
    import ssl

__all__ = ["ClientSide", "ServerSide", "Side", "client_side", "server_side"]

MAX_SESSIONS: Final = 64
"""Servers whose last session a client remembers: each is some kilobytes."""

SELF_SIGNED_DAYS: Final = 365
"""How long a certificate of our own making is valid: it is made anew at each start, and clients go by its pin."""


class Side:
    """What both sides have in common.

    Attributes:
        tls: the settings.
        is_server: which side it is.
        context: what OpenSSL works by.
    """

    is_server: bool

    def __init__(self, tls: TLS, context: ssl.SSLContext) -> None:
        self.tls = tls
        self.context = context

    def wrap(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_name: str | None, place: str
    ) -> ssl.SSLObject:
        """A fresh conversation between these two buffers."""
        raise NotImplementedError


# --- the client's side -----------------------------------------------------------------------------------------------


class ClientSide(Side):
    """A client's settings, and the last session with each server."""

    is_server = False

    def __init__(self, tls: TLS) -> None:
        import ssl

        context = _context(tls, ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if tls.is_verified else ssl.CERT_NONE
        context.check_hostname = tls.is_verified
        if tls.is_verified:
            _trust(context, tls)
        for cert, key in _files(tls):
            _show(context, tls, cert, key)
        super().__init__(tls, context)
        self._sessions: OrderedDict[tuple[str, str | None], ssl.SSLSession] = OrderedDict()

    def wrap(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_name: str | None, place: str
    ) -> ssl.SSLObject:
        session = self._sessions.pop((place, server_name), None)  # RFC 8446, C.4: a ticket is for one use
        return self.context.wrap_bio(incoming, outgoing, server_hostname=server_name, session=session)

    def remember(self, place: str, server_name: str | None, session: ssl.SSLSession | None) -> None:
        """Keep what makes the next handshake with this server short."""
        if session is not None and (session.has_ticket or session.id):
            self._sessions[place, server_name] = session
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)


def client_side(tls: TLS) -> ClientSide:
    """The client's side for these settings; an earlier one where no file has changed.

    Raises:
        OptionError: a file cannot be used; the message says which and why.
    """
    return _client_side(tls, _stamp(tls))


@lru_cache(maxsize=16)
def _client_side(tls: TLS, stamp: object) -> ClientSide:
    return ClientSide(tls)


def server_name_for(tls: TLS, host: str, *, place: str) -> str | None:
    """The name that the server's certificate must have.

    Args:
        tls: the settings.
        host: where it was dialled; empty where there is no host.
        place: the address, for the error.

    Raises:
        OptionError: there is no name, and one is to be checked.
    """
    name = tls.server_name or host.partition("%")[0]  # a zone is of this machine alone
    if not name and tls.is_verified:
        raise OptionError(
            f"{place} has no host whose name the certificate could have: give server_name=NAME, pin=..., or verify=no"
        )
    return name or None


# --- the server's side -----------------------------------------------------------------------------------------------


class ServerSide(Side):
    """A server's settings and certificates.

    Attributes:
        pins: what clients pin to trust its keys without an authority; one for each certificate.
    """

    is_server = True

    def __init__(self, tls: TLS) -> None:
        self.pins: tuple[str, ...] = ()
        self._own: tuple[bytes, bytes] | None = None
        if tls.self_signed:
            self._own = _make_certificate(tls.server_name)
        super().__init__(tls, self._read(tls))

    def reload(self) -> None:
        """Read the files anew, for handshakes from now on; the conversations under way stay as they are.

        Raises:
            OptionError: a file cannot be used. Everything stays as it was.
        """
        self.context = self._read(self.tls)

    def wrap(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_name: str | None, place: str
    ) -> ssl.SSLObject:
        return self.context.wrap_bio(incoming, outgoing, server_side=True)

    def _read(self, tls: TLS) -> ssl.SSLContext:
        if not tls.cert and self._own is None:
            raise OptionError("a TLS server needs a certificate: give cert=FILE (and key=FILE), or self_signed=yes")
        several = [_identity(tls, cert, key) for cert, key in _files(tls)]
        if self._own is not None:
            several = [_own_identity(tls, *self._own)]
        first = several[0][0]
        if len(several) > 1:
            first.sni_callback = _chooser(several)  # type: ignore[assignment]
        self.pins = tuple(certificate.pin for _, certificate in several)
        return first


@lru_cache(maxsize=16)
def _server_side(tls: TLS, stamp: object) -> ServerSide:
    return ServerSide(tls)


def server_side(tls: TLS) -> ServerSide:
    """The server's side for these settings; an earlier one where no file has changed. For one connection (STARTTLS);
    a server that listens keeps its own.

    Raises:
        OptionError: a file cannot be used; the message says which and why.
    """
    return _server_side(tls, _stamp(tls))


def _identity(tls: TLS, cert: str, key: str | None) -> tuple[ssl.SSLContext, Certificate]:
    import ssl

    context = _server_context(tls)
    _show(context, tls, cert, key)
    try:
        with open(cert) as file:
            der = ssl.PEM_cert_to_DER_cert(_first_certificate(file.read()))
        return context, read_certificate(der)
    except (OSError, ValueError) as error:
        raise OptionError(f"cert: {cert!r} cannot be read: {error}") from None


def _first_certificate(text: str) -> str:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return begin + text.partition(begin)[2].partition(end)[0] + end


def _own_identity(tls: TLS, cert: bytes, key: bytes) -> tuple[ssl.SSLContext, Certificate]:
    import ssl
    import tempfile

    context = _server_context(tls)
    # OpenSSL takes files only. The folder is ours alone (0700), and gone before anybody is served.
    with tempfile.TemporaryDirectory(prefix="socketkit-") as folder:
        path = os.path.join(folder, "both.pem")
        with open(path, "xb") as file:
            file.write(key + cert)
        context.load_cert_chain(path)
    return context, read_certificate(ssl.PEM_cert_to_DER_cert(cert.decode()))


def _server_context(tls: TLS) -> ssl.SSLContext:
    import ssl

    context = _context(tls, ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.ca is not None and tls.is_verified:
        context.verify_mode = ssl.CERT_REQUIRED if tls.require_client_cert or tls.pin else ssl.CERT_OPTIONAL
        _trust(context, tls)
    elif tls.pin:
        raise OptionError("pin: a server sees a client's key only where ca=FILE vouches for its certificate")
    return context


def _chooser(several: list[tuple[ssl.SSLContext, Certificate]]) -> object:
    """What OpenSSL calls with the name that the client wants: it takes the first certificate that has that name."""

    def choose(conversation: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        for candidate, certificate in several:
            if name is not None and any(_is_for(own, name) for own in certificate.dns_names):
                conversation.context = candidate
                return

    return choose


def _is_for(own: str, name: str) -> bool:
    """RFC 6125, 6.4.3: a star stands for the whole leftmost label."""
    own, name = own.lower(), name.lower().rstrip(".")
    return own == name or (own.startswith("*.") and own[1:] == name[name.find(".") :] and name.find(".") > 0)


def _make_certificate(server_name: str | None) -> tuple[bytes, bytes]:
    """A certificate and its key, PEM: for this machine's own names."""
    try:
        from cryptography import x509
    except ImportError:
        raise OptionError(
            "self_signed: making a certificate needs cryptography, which is not installed: pip install 'socketkit[tls]'"
        ) from None
    import datetime
    import ipaddress
    import socket

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    hosts = [server_name] if server_name else ["localhost", socket.gethostname()]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0][:64])])
    names: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(host)) if host_family(host) else x509.DNSName(host) for host in hosts
    ]
    if not server_name:
        names += [x509.IPAddress(ipaddress.ip_address(number)) for number in ("127.0.0.1", "::1")]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)  # so that it may stand as `ca` too
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


# --- both ------------------------------------------------------------------------------------------------------------


def _context(tls: TLS, protocol: int) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(protocol)
    version = ssl.TLSVersion.TLSv1_3 if tls.minimum_version == "1.3" else ssl.TLSVersion.TLSv1_2
    context.minimum_version = version
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if tls.ciphers is not None:
        try:
            context.set_ciphers(tls.ciphers)
        except ssl.SSLError:
            raise OptionError(f"ciphers: OpenSSL knows none of {tls.ciphers!r}") from None
    if tls.alpn:
        context.set_alpn_protocols(list(tls.alpn))
    path = None if sys.flags.ignore_environment else os.environ.get("SSLKEYLOGFILE")
    if path:
        try:
            context.keylog_filename = path
        except OSError as error:
            raise OptionError(f"SSLKEYLOGFILE: {path!r} cannot be written: {error.strerror}") from None
    return context


def _trust(context: ssl.SSLContext, tls: TLS) -> None:
    import ssl

    if tls.ca is None:
        context.load_default_certs()
        return
    path = os.fspath(tls.ca)
    try:
        context.load_verify_locations(**({"capath": path} if os.path.isdir(path) else {"cafile": path}))
    except ssl.SSLError:
        raise OptionError(f"ca: {path!r} holds no certificate in PEM") from None
    except OSError as error:
        raise OptionError(f"ca: {path!r} cannot be read: {error.strerror}") from None


def _show(context: ssl.SSLContext, tls: TLS, cert: str, key: str | None) -> None:
    """Load a certificate with its key."""
    import ssl

    def password() -> str:
        if tls.key_password is None:
            raise OptionError(f"key: {key or cert!r} is locked by a password; give TLS(key_password=...)")
        return tls.key_password

    for name, path in (("cert", cert), ("key", key)):
        try:
            if path is not None:
                open(path, "rb").close()  # OpenSSL does not say which of both is missing
        except OSError as error:
            raise OptionError(f"{name}: {path!r} cannot be read: {error.strerror}") from None
    try:
        context.load_cert_chain(cert, key, password)
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        where = f"{cert!r} and {key!r}" if key else f"{cert!r}"
        raise OptionError(f"cert: {where} are no certificate (PEM) with its key: {reason}") from None


def _files(tls: TLS) -> list[tuple[str, str | None]]:
    return list(zip(tls.cert, tls.key or [None] * len(tls.cert), strict=True))


def _stamp(tls: TLS) -> tuple[object, ...]:
    """What changes when a file is changed."""
    paths = [os.fspath(path) for path in (tls.ca, *tls.cert, *tls.key) if path]
    return os.environ.get("SSLKEYLOGFILE"), *map(_state, paths)


def _state(path: str) -> tuple[object, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return (path,)
    return path, found.st_mtime_ns, found.st_size, found.st_ino
