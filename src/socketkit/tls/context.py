"""TLS contexts for both sides: what the settings of `TLS` mean to OpenSSL.

A client's side is shared by equal settings until one of their files changes: reading the system's authorities costs
more than a handshake, and the sessions that it keeps shorten the next handshake. A server's side can be read again
while it serves. `ssl` and `cryptography` are imported when the first side is made.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from socketkit.config.host import ascii_host, host_family, normal_host
from socketkit.config.tls_settings import TLS
from socketkit.errors import AddressError, OptionError
from socketkit.sockets.private_files import open_private
from socketkit.tls.x509 import Certificate, read_certificate

if TYPE_CHECKING:
    import ssl

__all__ = ["ClientSide", "ServerSide", "Side", "client_side", "server_side"]

MAX_SESSIONS: Final = 64
"""Servers whose last session a client keeps: each takes some kilobytes."""

SELF_SIGNED_DAYS: Final = 365
"""How long a self-signed certificate is valid: it is made again at each start, and clients compare its pin."""


class Side:
    """What both sides have in common.

    Attributes:
        tls: the settings.
        is_server: which side it is.
        context: OpenSSL's context.
        chooses_by_name: whether a server has several certificates, so that the client's SNI chooses the context.
    """

    is_server: bool
    chooses_by_name = False

    def __init__(self, tls: TLS, context: ssl.SSLContext) -> None:
        self.tls = tls
        self.context = context

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_name: str | None, peer: str
    ) -> ssl.SSLObject:
        """A new TLS connection between these two buffers."""
        raise NotImplementedError

    def context_for(self, server_name: bytes) -> ssl.SSLContext:
        """The context for the name that the client asked for; the first one where no certificate has that name."""
        return self.context


class ClientSide(Side):
    """A client's context, and the last session with each server."""

    is_server = False

    def __init__(self, tls: TLS) -> None:
        super().__init__(tls, self._make_context(tls) if tls.context is None else _own_context(tls, is_server=False))
        self._sessions: OrderedDict[tuple[str, str | None], ssl.SSLSession] = OrderedDict()

    @staticmethod
    def _make_context(tls: TLS) -> ssl.SSLContext:
        import ssl

        context = _context(tls, ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if tls.is_verified else ssl.CERT_NONE
        context.check_hostname = tls.is_verified
        context.hostname_checks_common_name = False  # RFC 9525, 6.3: the subject's CN is no name of a host
        if tls.is_verified:
            _load_authorities(context, tls)
        for cert, key in _files(tls):
            _load_chain(context, tls, cert, key)
        return context

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_name: str | None, peer: str
    ) -> ssl.SSLObject:
        session = self._sessions.pop((peer, server_name), None)  # RFC 8446, C.4: a ticket is for one use
        return self.context.wrap_bio(incoming, outgoing, server_hostname=server_name, session=session)

    def remember(self, peer: str, server_name: str | None, session: ssl.SSLSession | None) -> None:
        """Keep the session for the next handshake with this server."""
        if session is not None and (session.has_ticket or session.id):
            self._sessions[peer, server_name] = session
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)


def client_side(tls: TLS) -> ClientSide:
    """The client's side for these settings; an earlier one where no file has changed.

    Raises:
        OptionError: a file cannot be used; the message names it and the reason.
    """
    return _client_side(tls, _stamp(tls))


@lru_cache(maxsize=16)
def _client_side(tls: TLS, stamp: object) -> ClientSide:
    return ClientSide(tls)


def server_name_for(tls: TLS, host: str, *, address: str) -> str | None:
    """The name that is sent as SNI, and that the server's certificate must have: in ASCII, as the resolver gets it.

    Args:
        tls: the settings.
        host: the host that was dialled; empty where there is none.
        address: the address, for the error.

    Raises:
        OptionError: there is no name, and one is to be checked; or `server_name` is not a host.
        AddressError: no domain can have the name `host`.
    """
    zoneless = host.partition("%")[0]  # a zone is valid on this machine alone
    name = ascii_host(zoneless) if tls.server_name is None else _normal_name(tls.server_name)
    if not name and tls.is_name_checked:
        raise OptionError(
            f"{address} has no host whose name the certificate could have: give server_name=NAME, pin=..., or verify=no"
        )
    return _without_dot(name) or None


def _normal_name(server_name: str) -> str:
    try:
        return ascii_host(normal_host(server_name))
    except AddressError as error:
        raise OptionError(f"server_name: {error}") from None


def _without_dot(name: str) -> str:
    """RFC 6066, 3: SNI is without the trailing dot of a fully qualified name, and certificates hold none."""
    return name.removesuffix(".")


class ServerSide(Side):
    """A server's contexts, one for each certificate.

    Attributes:
        pins: the pins of its keys, by which clients can trust them without an authority. Empty with a context of the
            user's own, which does not show its certificates.
    """

    is_server = True

    def __init__(self, tls: TLS) -> None:
        self._own = _make_certificate(tls) if tls.self_signed else None
        self._identities = self._read(tls) if tls.context is None else []
        super().__init__(tls, self._identities[0][0] if tls.context is None else _own_context(tls, is_server=True))

    @property
    def pins(self) -> tuple[str, ...]:
        return tuple(certificate.pin for _, certificate in self._identities)

    @property
    def chooses_by_name(self) -> bool:  # type: ignore[override]
        return len(self._identities) > 1

    def reload(self) -> None:
        """Read the files again, for handshakes from now on; established connections stay as they are. A context of the
        user's own stays: load its certificate again yourself.

        Raises:
            OptionError: a file cannot be used. Everything stays as it was.
        """
        if self.tls.context is not None:
            return
        self._identities = self._read(self.tls)
        self.context = self._identities[0][0]

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_name: str | None, peer: str
    ) -> ssl.SSLObject:
        return self.context.wrap_bio(incoming, outgoing, server_side=True)

    def context_for(self, server_name: bytes) -> ssl.SSLContext:
        name = server_name.decode("latin-1").lower()
        for context, certificate in self._identities:
            if any(_matches(pattern.lower(), name) for pattern in certificate.dns_names):
                return context
        return self._identities[0][0]

    def _read(self, tls: TLS) -> list[tuple[ssl.SSLContext, Certificate]]:
        if self._own is not None:
            return [_identity(tls, *self._own)]
        if not tls.cert:
            raise OptionError("a TLS server needs a certificate: give cert=FILE (and key=FILE), or self_signed=yes")
        return [_identity(tls, *_read_chain(cert, key), cert, key) for cert, key in _files(tls)]


@lru_cache(maxsize=16)
def _server_side(tls: TLS, stamp: object) -> ServerSide:
    return ServerSide(tls)


def server_side(tls: TLS) -> ServerSide:
    """The server's side for these settings; an earlier one where no file has changed. For one connection (STARTTLS);
    a listening server keeps its own.

    Raises:
        OptionError: a file cannot be used; the message names it and the reason.
    """
    return _server_side(tls, _stamp(tls))


def _own_context(tls: TLS, *, is_server: bool) -> ssl.SSLContext:
    """The user's context.

    Raises:
        OptionError: it is for the other side, or the pin cannot be compared.
    """
    import ssl

    context = tls.context
    assert context is not None
    wrong = ssl.PROTOCOL_TLS_CLIENT if is_server else ssl.PROTOCOL_TLS_SERVER
    if context.protocol == wrong:
        ours, other = ("server", "CLIENT") if is_server else ("client", "SERVER")
        raise OptionError(f"context: it is for the other side (PROTOCOL_TLS_{other}), and a {ours} is opened")
    if is_server and tls.pin and not context.verify_mode:
        raise OptionError("pin: the context asks clients for no certificate; set its verify_mode")
    return context


def _identity(
    tls: TLS, cert_data: bytes, key_data: bytes | None, cert: str = "self_signed", key: str | None = None
) -> tuple[ssl.SSLContext, Certificate]:
    import ssl

    context = _context(tls, ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.ca is not None and tls.is_verified:
        context.verify_mode = ssl.CERT_REQUIRED if tls.require_client_cert or tls.pin else ssl.CERT_OPTIONAL
        _load_authorities(context, tls)
    elif tls.pin:
        raise OptionError("pin: a server sees a client's key only where ca=FILE vouches for its certificate")
    _load_bytes(context, tls, cert_data, key_data, cert, key)
    try:
        return context, read_certificate(_first_certificate(cert_data))
    except ValueError as error:
        raise OptionError(f"cert: {cert!r} cannot be read: {error}") from None


_PEM_CERTIFICATE: Final = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]*)-----END ")
"""The labels that OpenSSL takes for a certificate (PEM_read_bio_X509_AUX). What stands around it is comment, in any
encoding (RFC 7468, 2)."""


def _first_certificate(pem: bytes) -> bytes:
    import binascii

    found = _PEM_CERTIFICATE.search(pem)
    return binascii.a2b_base64(found[1]) if found else b""


def _matches(pattern: str, name: str) -> bool:
    """RFC 6125, 6.4.3: a star stands for the whole leftmost label. Both are in lower case."""
    name = _without_dot(name)
    return pattern == name or (
        pattern.startswith("*.") and pattern[1:] == name[name.find(".") :] and name.find(".") > 0
    )


def _make_certificate(tls: TLS) -> tuple[bytes, bytes]:
    """A certificate and its key, PEM: for this machine's own names, or for `server_name`."""
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
    if tls.server_name is None:
        hosts = ["localhost", "127.0.0.1", "::1"]
        own = socket.gethostname()
        if own and own.isascii():
            hosts.insert(1, own)
    else:
        hosts = [server_name_for(tls, "", address="") or ""]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0][:64])])
    names: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(host)) if host_family(host) else x509.DNSName(host) for host in hosts
    ]
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
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)  # it can be given as `ca` too
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _context(tls: TLS, protocol: int) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(protocol)
    version = ssl.TLSVersion.TLSv1_3 if tls.minimum_version == "1.3" else ssl.TLSVersion.TLSv1_2
    context.minimum_version = version
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if tls.ciphers is not None:
        try:
            context.set_ciphers(tls.ciphers)
        except (ssl.SSLError, ValueError):
            raise OptionError(f"ciphers: OpenSSL knows none of {tls.ciphers!r}") from None
    if tls.alpn:
        try:
            context.set_alpn_protocols(list(tls.alpn))
        except (ssl.SSLError, ValueError) as error:
            raise OptionError(f"alpn: {', '.join(tls.alpn)!r} cannot be used: {_reason(error)}") from None
    path = None if sys.flags.ignore_environment else os.environ.get("SSLKEYLOGFILE")
    if path:
        try:
            _create_key_log(path)
            context.keylog_filename = path
        except OSError as error:
            raise OptionError(f"SSLKEYLOGFILE: {path!r} cannot be written: {_reason(error)}") from None
    return context


def _create_key_log(path: str) -> None:
    """Create the file with mode 0600, because OpenSSL would create it readable by all users."""
    try:
        is_regular = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        is_regular = True
    if is_regular:  # opening a FIFO would wait for its reader
        os.close(open_private(path, append=True))


def _load_authorities(context: ssl.SSLContext, tls: TLS) -> None:
    import ssl

    if tls.ca is None:
        context.load_default_certs()
        return
    path = os.fspath(tls.ca)
    try:
        context.load_verify_locations(**({"capath": path} if os.path.isdir(path) else {"cafile": path}))
    except ssl.SSLError:
        raise OptionError(f"ca: {path!r} holds no certificate in PEM") from None
    except (OSError, ValueError) as error:
        raise OptionError(f"ca: {path!r} cannot be read: {_reason(error)}") from None


def _load_chain(context: ssl.SSLContext, tls: TLS, cert: str, key: str | None) -> None:
    _load_bytes(context, tls, *_read_chain(cert, key), cert, key)


def _read_chain(cert: str, key: str | None) -> tuple[bytes, bytes | None]:
    """The bytes of both files. Each is read once: a file that is replaced meanwhile cannot differ between two looks."""
    return _read_file("cert", cert), None if key is None else _read_file("key", key)


def _read_file(name: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise OptionError(f"{name}: {path!r} cannot be read: {_reason(error)}") from None


def _load_bytes(
    context: ssl.SSLContext, tls: TLS, cert_data: bytes, key_data: bytes | None, cert: str, key: str | None
) -> None:
    """Load a certificate with its key; `cert` and `key` are their paths, for the errors."""
    import ssl

    def password() -> str:
        if tls.key_password is None:
            raise OptionError(f"key: {key or cert!r} is locked by a password; give TLS(key_password=...)")
        return tls.key_password

    where = f"{cert!r} and {key!r}" if key else f"{cert!r}"
    key_file = nullcontext() if key_data is None else _as_file(key_data)
    try:
        with _as_file(cert_data) as cert_path, key_file as key_path:
            context.load_cert_chain(cert_path, key_path, password)
    except OptionError:
        raise
    except ssl.SSLError as error:
        raise OptionError(_fault_of_chain(error, tls, cert_data, key_data, where, key)) from None
    except (OSError, ValueError) as error:
        raise OptionError(f"cert: {where} cannot be loaded: {_reason(error)}") from None


def _fault_of_chain(
    error: ssl.SSLError, tls: TLS, cert_data: bytes, key_data: bytes | None, where: str, key: str | None
) -> str:
    """What is wrong with a certificate and its key that OpenSSL did not load."""
    reason = f": {error.reason.lower().replace('_', ' ')}" if error.reason else ""
    if _PEM_CERTIFICATE.search(cert_data) is None:
        return f"cert: {where}: there is no whole certificate (PEM){reason}"
    if key_data is None and b"PRIVATE KEY-----" not in cert_data:
        return f"cert: {where} holds no private key: give its file (key=FILE)"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"cert: {where} do not belong together{reason}"
    if tls.key_password is not None and b"ENCRYPTED" in (key_data or cert_data):
        return f"key: {key or where}: the password (key_password) does not open it{reason}"
    return f"cert: {where} cannot be read as a certificate with its key (PEM){reason}"


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path at which OpenSSL, which takes paths only, finds these bytes: in memory on Linux, so that no key is written
    to a disk; elsewhere in a temporary folder with mode 0700."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        with open(os.memfd_create("socketkit", os.MFD_CLOEXEC), "wb", buffering=0) as memory:
            memory.write(data)
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="socketkit-") as folder:
        path = os.path.join(folder, "pem")
        with open(path, "xb") as file:
            file.write(data)
        yield path


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _files(tls: TLS) -> list[tuple[str, str | None]]:
    return list(zip(tls.cert, tls.key or [None] * len(tls.cert), strict=True))


def _stamp(tls: TLS) -> tuple[object, ...]:
    """What changes when a file is changed."""
    paths = [os.fspath(path) for path in (tls.ca, *tls.cert, *tls.key) if path]
    return os.environ.get("SSLKEYLOGFILE"), *map(_state, paths)


def _state(path: str) -> tuple[object, ...]:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return (path,)
    return path, found.st_mtime_ns, found.st_size, found.st_ino
