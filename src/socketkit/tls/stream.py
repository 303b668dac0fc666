"""TLS over any stream, on every engine: OpenSSL works on buffers in memory, the stream below moves the bytes.

The directions end separately (RFC 8446, 6.1): after our close_notify we still receive. An end without the peer's
close_notify is a loss, because anyone on the path could have caused it. What is taken and not sent yet is bounded.
"""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any, Final

from socketkit.config.durations import format_duration
from socketkit.config.schemes import secure_name
from socketkit.config.time_limits import TLS_CLOSE_TIMEOUT
from socketkit.errors import (
    BrokenError,
    ClosedError,
    DeadlineError,
    EndOfStream,
    HandshakeError,
    RejectedError,
    StreamError,
    closed_error,
    end_of_stream,
    eof_sent_error,
)
from socketkit.events import TlsFacts
from socketkit.streams.stream import Stream
from socketkit.tls.client_hello import read_server_name
from socketkit.tls.context import ClientSide, Side
from socketkit.tls.failure_texts import reason_of_failure
from socketkit.tls.x509 import Certificate, read_certificate

if TYPE_CHECKING:
    import socket

    Socket = socket.socket

__all__ = ["TlsStream", "secure"]

_ENCODING_DER: Final = 2
"""X509 encodings of `_ssl`: 1 is PEM, 2 is DER (`ssl.DER_cert_to_PEM_cert` converts)."""

RECORD_SIZE: Final = 16 * 1024
"""The most plaintext in a record (RFC 8446, 5.1). OpenSSL returns one record for each read."""

PORTION_SIZE: Final = 64 * 1024
"""Bytes that are encrypted before the stream below must take them: so much is held at most."""

MAX_ANSWERS_SIZE: Final = 256 * 1024
"""Bytes of OpenSSL's answers (to key updates) that are held for a peer that does not read."""


async def secure(
    inner: Stream,
    side: Side,
    *,
    server_name: str | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
    unread: bytes = b"",
) -> TlsStream:
    """Do the TLS handshake, and check the peer's certificate.

    Args:
        inner: the stream that moves the bytes; the new stream owns it. After an error the caller closes it.
        side: which side we are, and its context.
        server_name: the server's name, for a client; it is checked, and sent as SNI.
        timeout: seconds for the whole handshake, however slowly bytes come. None: no limit.
        deadline: the time of the engine's clock, where a part of `timeout` was spent before.
        unread: bytes of the peer that were received already.

    Raises:
        HandshakeError: the handshake failed; the message says why, and what to try.
        BrokenError: the connection was lost meanwhile.
        DeadlineError: the time was over.
        ClosedError: the stream below was closed.

    Cancellation: the stream below can only be closed then.
    """
    stream = TlsStream(inner, side, server_name)
    engine = inner.engine
    try:
        await stream._handshake(unread, engine.deadline(timeout) if deadline is None else deadline)
    except DeadlineError:
        limit = "in time" if timeout is None else f"within {format_duration(timeout)} (handshake_timeout)"
        raise DeadlineError(f"TLS handshake with {stream.peer}: not done {limit}: does the peer speak TLS?") from None
    stream._check_agreement()
    return stream


class TlsStream(Stream):
    """A stream whose bytes travel encrypted over another one. Made by `secure`."""

    tls: TlsFacts

    __slots__ = (
        "_closed",
        "_conversation",
        "_end",
        "_eof_sent",
        "_has_received",
        "_incoming",
        "_inner",
        "_lock",
        "_outgoing",
        "_read",
        "_read_early",
        "_server_name",
        "_side",
        "_stopped",
        "_unsent",
        "_waiting_count",
        "_write",
        "engine",
        "local",
        "peer",
        "tls",
    )

    def __init__(self, inner: Stream, side: Side, server_name: str | None) -> None:
        self.engine = inner.engine
        self.local = _secure_name(inner.local)
        self.peer = _secure_name(inner.peer)
        self.tls = TlsFacts("", "", None, server_name, False)  # until the handshake is done
        self._inner = inner
        self._side = side
        self._server_name = server_name
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self._conversation = side.wrap_bio(self._incoming, self._outgoing, server_name, inner.peer)
        except (ValueError, TypeError) as error:
            raise HandshakeError(f"TLS with {self.peer}: {server_name!r} is no server's name: {error}") from None
        self._read, self._write = self._conversation.read, self._conversation.write
        # On the blocking engine one thread receives while another sends; OpenSSL must not be called by both at once.
        self._lock = threading.Lock()
        self._unsent = memoryview(b"")  # encrypted, and not yet taken by the stream below
        self._read_early = b""  # decrypted before `receive` was called
        self._end: StreamError | None = None  # what `receive` raises after the last byte
        self._has_received = False
        self._eof_sent = False
        self._stopped = False
        self._closed = False
        self._waiting_count = 0

    @property
    def socket(self) -> Socket | None:
        return self._inner.socket

    @property
    def exit_status(self) -> int | None:
        return self._inner.exit_status

    @property
    def times_out_itself(self) -> bool:
        return self._inner.times_out_itself

    async def _handshake(self, unread: bytes, deadline: float | None) -> None:
        if unread:
            self._incoming.write(unread)
        if self._side.chooses_by_name:
            await self._choose_certificate(unread, deadline)
        while True:
            try:
                self._conversation.do_handshake()
                is_done = True
            except ssl.SSLWantReadError:
                is_done = False
            except ssl.SSLError as error:
                self._push_answers()  # the alert for the peer
                raise self._handshake_error(error) from None
            if self._outgoing.pending:
                await self._inner.send(self._outgoing.read(), deadline=deadline)
            if is_done:
                return
            self._incoming.write(await self._receive_handshake(deadline))

    async def _choose_certificate(self, received: bytes, deadline: float | None) -> None:
        hello = bytearray(received)
        while (name := read_server_name(hello)) is None:
            data = await self._receive_handshake(deadline)
            hello += data
            self._incoming.write(data)
        self._conversation.context = self._side.context_for(name)

    async def _receive_handshake(self, deadline: float | None) -> bytes:
        try:
            return await self._inner.receive(deadline=deadline)
        except EndOfStream:
            raise HandshakeError(
                f"TLS handshake with {self.peer}: the peer ended it: it may not speak TLS, or not accept us",
                address=self.peer,
            ) from None

    def _check_agreement(self) -> None:
        """Check what OpenSSL does not: the pin, and that a protocol was agreed on.

        Raises:
            HandshakeError: the key is not pinned, or the server took none of our protocols.
        """
        self.tls = facts = self._read_facts()
        tls = self._side.tls
        if tls.pin and facts.peer_pin not in tls.pin:
            found = facts.peer_pin or "no certificate at all"
            raise HandshakeError(
                f"TLS handshake with {self.peer}: the peer's key is another one than pinned: it is {found}, allowed is "
                f"{' or '.join(tls.pin)}",
                address=self.peer,
            )
        if tls.alpn and facts.alpn is None and not self._side.is_server:
            raise HandshakeError(
                f"TLS handshake with {self.peer}: no application protocol in common: we offered {', '.join(tls.alpn)} "
                "(alpn), and the server took none",
                address=self.peer,
            )

    def _read_facts(self) -> TlsFacts:
        conversation = self._conversation
        cipher = conversation.cipher()
        peer: dict[str, Any] = {}
        try:
            der = conversation.getpeercert(binary_form=True)
            if der:
                peer["peer_certificate"] = der
                peer["peer_chain"] = self._peer_chain(der)
                certificate = read_certificate(der)
                for name in type(certificate).fields:
                    peer[f"peer_{name}"] = getattr(certificate, name)
        except ValueError:
            pass  # OpenSSL can read it, and we cannot: no further facts, and no pin matches
        return TlsFacts(
            version=conversation.version() or "",
            cipher=cipher[0] if cipher else "",
            alpn=conversation.selected_alpn_protocol(),
            server_name=self._server_name,
            is_resumed=bool(conversation.session_reused),
            **peer,
        )

    def _peer_chain(self, own: bytes) -> tuple[bytes, ...]:
        """The certificates that the peer sent, its own first; where the system shows no others, its own alone."""
        try:  # a method of `SSLObject` from 3.13 on; the object below has had it since 3.10
            chain = self._conversation._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
            ders = [each.public_bytes(_ENCODING_DER) for each in chain or ()]
        except (AttributeError, ssl.SSLError):
            return (own,)
        return (own, *[der for der in ders if der != own])

    def _handshake_error(self, error: ssl.SSLError) -> HandshakeError:
        return HandshakeError(
            f"TLS handshake with {self.peer}: {reason_of_failure(error, self._server_name, self._refused())}",
            address=self.peer,
        )

    def _refused(self) -> Certificate | None:
        """The certificate that was refused; None: the peer sent none."""
        try:  # `ssl` shows a certificate only after the handshake, but from 3.13 on the chain before
            chain = self._conversation._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
            return read_certificate(chain[0].public_bytes(_ENCODING_DER)) if chain else None
        except (AttributeError, ValueError, ssl.SSLError):
            return None

    async def receive(self, *, deadline: float | None = None) -> bytes:
        inner, incoming = self._inner, self._incoming
        while True:
            if self._closed:
                raise self._closed_error()
            if self._read_early or incoming.pending:
                with self._lock:
                    data = self._decrypt()
                if data:
                    self._has_received = True
                    return data
            if self._end is not None:
                raise self._end.with_traceback(None)
            try:
                data = await inner.receive(deadline=deadline)
            except EndOfStream:
                self._end = self._end or self._cut()
                continue
            with self._lock:
                if self._closed:
                    raise self._closed_error()
                incoming.write(data)
                data = self._decrypt()
            if data:
                self._has_received = True
                return data

    def _decrypt(self) -> bytes:
        """All complete records so far; an error or the end is kept for the next call."""
        incoming, read = self._incoming, self._read
        pieces = [self._read_early] if self._read_early else []
        self._read_early = b""
        try:
            while incoming.pending and self._end is None:
                piece = read(RECORD_SIZE)  # not less: OpenSSL would keep the rest, which nothing reports
                if not piece:
                    raise ssl.SSLZeroReturnError
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass  # a record is not complete yet, or was no application data
        except ssl.SSLZeroReturnError:
            self._end = end_of_stream(self.peer)
        except ssl.SSLError as error:
            self._end = self._broken(error)
        if self._outgoing.pending:
            self._push_answers()
            if self._unsent.nbytes + self._outgoing.pending > MAX_ANSWERS_SIZE and self._end is None:
                self._end = BrokenError(
                    f"receiving from {self.peer}: it asks for answers in TLS, and reads none of them"
                )
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _cut(self) -> StreamError:
        """The error for an end of the stream below without a close_notify."""
        if self._stopped:
            return end_of_stream(self.peer)
        return BrokenError(
            f"receiving from {self.peer}: the stream was cut: it ended without a close_notify, so that data may be "
            "missing"
        )

    def _broken(self, error: ssl.SSLError) -> StreamError:
        version = self.tls.version  # OpenSSL forgets it at an alert
        reason = reason_of_failure(error, None, open_version=version)
        is_done_early = version == "TLSv1.3" and not self._side.is_server
        if is_done_early and not self._has_received and "ALERT" in (error.reason or ""):
            # A client is done before the server has checked its certificate; the first read gets the alert.
            return RejectedError(f"TLS handshake with {self.peer}: {reason}", address=self.peer)
        return BrokenError(f"receiving from {self.peer}: {reason}")

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent) or self._outgoing.pending > 0 or self._inner.has_unsent

    def send_now(self, data: bytes | memoryview) -> int:
        with self._lock:
            if self._closed:
                raise self._closed_error()
            if self._eof_sent:
                raise eof_sent_error(self.peer)
            if (self._unsent or self._outgoing.pending) and not self._push():
                return 0
            size = len(data)
            if size <= PORTION_SIZE:
                if size:
                    self._encrypt(data)
                    self._push()
                return size
            rest = memoryview(data)
            taken = 0
            while taken < size:
                taken += self._encrypt(rest[taken : taken + PORTION_SIZE])
                if not self._push():
                    break
            return taken

    def _encrypt(self, data: bytes | memoryview) -> int:
        try:
            return self._write(data)
        except ssl.SSLError as error:
            raise BrokenError(
                f"sending to {self.peer}: {reason_of_failure(error, None, open_version=self.tls.version)}"
            ) from None

    def _push(self) -> bool:
        """Send what is encrypted by the stream below, as far as it takes it now; whether it took all.

        Raises:
            BrokenError, ClosedError: as its `send_now`.
        """
        send_now = self._inner.send_now
        if self._unsent:
            self._unsent = self._unsent[send_now(self._unsent) :]
            if self._unsent:
                return False
        if self._outgoing.pending:
            data = self._outgoing.read()
            try:
                count = send_now(data)
            except BaseException:
                self._unsent = memoryview(data)
                raise
            if count < len(data):
                self._unsent = memoryview(data)[count:]
                return False
        return True

    def _push_answers(self) -> None:
        """Send what OpenSSL has for the peer (alerts, answers); errors do not matter."""
        try:
            self._push()
        except StreamError:
            pass

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        while True:
            if self._closed:
                raise self._closed_error()
            self._waiting_count += 1
            try:
                await self._inner.wait_writable(deadline=deadline)
            finally:
                self._waiting_count -= 1
            with self._lock:
                if self._closed:
                    raise self._closed_error()
                if self._push() and not self._inner.has_unsent:
                    return

    async def send_eof(self, *, deadline: float | None = None) -> None:
        with self._lock:
            if self._closed:
                raise self._closed_error()
            if not self._eof_sent:
                self._send_close_notify()
            self._push()
        while self.has_unsent:
            await self.wait_writable(deadline=deadline)

    def _send_close_notify(self) -> None:
        """Encrypt our close_notify. OpenSSL then looks for the peer's, and takes data before that for an error; so such
        data is decrypted first."""
        self._read_early = self._decrypt()
        self._eof_sent = True
        try:
            self._conversation.unwrap()
        except ssl.SSLError:
            pass  # the peer's close_notify has not come yet

    def stop_receiving(self) -> None:
        self._stopped = True
        self._inner.stop_receiving()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._remember_session()
            if not self._eof_sent:
                self._send_close_notify()
            self._closed = True
            try:
                is_sent = self._push()
            except StreamError:
                is_sent = True  # the connection is lost
        if is_sent or self._waiting_count:
            self._inner.close()
            return
        self._inner.stop_receiving()  # wakes a task that receives
        if self.engine.blocks:
            self.engine.start(self._close_when_sent())
        else:
            self.engine.background(self._close_when_sent())

    async def _close_when_sent(self) -> None:
        """Send what was taken, while the peer still reads."""
        deadline = self.engine.now() + TLS_CLOSE_TIMEOUT
        try:
            while not self._push():
                await self._inner.wait_writable(deadline=deadline)
            self._inner.close()
        except (StreamError, DeadlineError):
            pass
        finally:
            self._inner.abort()  # closed already, if all was sent

    def abort(self) -> None:
        self._closed = True
        self._inner.abort()

    def forget(self) -> None:
        if self._closed:
            self._end = None
        self._inner.forget()

    def _remember_session(self) -> None:
        if isinstance(self._side, ClientSide) and self._has_received:
            self._side.remember(self._inner.peer, self._server_name, self._conversation.session)

    def _closed_error(self) -> ClosedError:
        return closed_error(self.peer)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended by the peer" if self._end is not None else "open"
        return f"<TlsStream {self.local} - {self.peer}, {self.tls.version or 'before the handshake'}, {state}>"


def _secure_name(address: str) -> str:
    scheme, colon, rest = address.partition(":")
    return f"{secure_name(scheme)}{colon}{rest}"
