"""Certificates for tests, made once a run: an authority, a server's, a client's, and bad ones."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import functools
import ssl
import tempfile
from pathlib import Path

import trustme

from socketkit.config.tls_settings import TLS
from socketkit.streams.stream import Stream
from socketkit.tls.context import client_side, server_side
from socketkit.tls.stream import TlsStream, secure
from support.running import Running


class Papers:
    """Files of an authority and of those for whom it vouches.

    Attributes:
        ca: the authority's certificate.
        cert: for localhost, 127.0.0.1 and ::1; certificate and key in one file.
        client: for a client.
        expired: as `cert`, and its time is over.
        other: for other.example alone.
        stranger: for localhost, of an authority that nobody trusts.
    """

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        hosts = ("localhost", "127.0.0.1", "::1")
        self.ca = self._write(folder / "ca.pem", authority.cert_pem.bytes())
        self.cert = self._issue(authority, folder / "server.pem", *hosts)
        self.client = self._issue(authority, folder / "client.pem", "client@example.org")
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        self.expired = self._write(folder / "expired.pem", _both(authority.issue_cert(*hosts, not_after=past)))
        self.other = self._issue(authority, folder / "other.pem", "other.example")
        self.stranger = self._issue(trustme.CA(), folder / "stranger.pem", *hosts)

    def _issue(self, authority: trustme.CA, path: Path, *names: str) -> str:
        return self._write(path, _both(authority.issue_cert(*names)))

    def _write(self, path: Path, data: bytes) -> str:
        path.write_bytes(data)
        return str(path)


def _both(leaf: trustme.LeafCert) -> bytes:
    return leaf.private_key_and_cert_chain_pem.bytes()


_folder = tempfile.TemporaryDirectory(prefix="socketkit-papers-")
atexit.register(_folder.cleanup)


@functools.cache
def papers() -> Papers:
    """The same for all tests of a run: to make them takes a second."""
    return Papers(Path(_folder.name))


async def secured(
    inner: tuple[Stream, Stream], *, client: TLS | None = None, server: TLS | None = None, name: str = "localhost"
) -> tuple[TlsStream, TlsStream]:
    """TLS over a connected pair: the left end is the client's."""
    left, right = inner
    client = TLS(ca=papers().ca) if client is None else client
    server = TLS(cert=papers().cert) if server is None else server
    answering = Running(right.engine, secure(right, server_side(server), timeout=20))
    near = await secure(left, client_side(client), server_name=name, timeout=20)
    far = await answering.result()
    return near, far


def client_hello(name: str) -> bytes:
    """The first bytes of OpenSSL's client that asks for this name."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()
