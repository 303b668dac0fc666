"""The text of a TLS failure, with what to try: from OpenSSL's reason codes to a sentence."""

from __future__ import annotations

import ssl
from typing import Final

from socketkit.tls.x509 import Certificate

__all__ = ["reason_of_failure"]


def reason_of_failure(
    error: ssl.SSLError, server_name: str | None, refused: Certificate | None = None, *, open_version: str = ""
) -> str:
    """The reason of a failure, and what to try.

    Args:
        error: of OpenSSL.
        server_name: the name that was checked.
        refused: the peer's certificate, where it is known.
        open_version: the version of TLS where the handshake was done; empty: it was not.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _CHECK_HINTS.get(error.verify_code, "")
        name = ""
        if error.verify_code in _OTHER_NAME:
            name = f" (its name should be {server_name!r})"
            hint = hint if refused is None else _name_hint(refused)
        if refused is not None:
            pin = refused.pin
            hint = hint.replace(_ANY_PIN, pin) if _ANY_PIN in hint else f"{hint}; the pin of its key is {pin}"
        return f"the peer's certificate is refused: {error.verify_message.rstrip('.')}{name}{hint}"
    reason = error.reason or str(error)
    if reason in _REFUSED_RENEGOTIATION and open_version not in ("", "TLSv1.3"):
        return _RENEGOTIATION
    if reason in _REASONS:
        return _REASONS[reason]
    words = reason.lower().replace("_", " ")
    alert = words.partition(" alert ")[2]
    return f"the peer refused: {alert}{_ALERT_HINTS.get(alert, '')}" if alert else words


def _name_hint(certificate: Certificate) -> str:
    """What to try where the certificate has another name, or none that counts (RFC 9525, 6.3)."""
    names = [name for kind, name in certificate.alternative_names if kind in ("DNS", "IP Address")]
    if not names:
        return (
            ": it has no alternative name (subjectAltName), and its CN is not looked at: make it with one (openssl req "
            "-addext subjectAltName=DNS:NAME,IP:NUMBER)"
        )
    shown = ", ".join(map(ascii, names[:_SHOWN_NAMES]))
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f": it is for {shown}{more}: connect to that name, or give it (server_name=NAME)"


_OTHER_NAME: Final = (62, 64)
_SHOWN_NAMES: Final = 5
_ANY_PIN: Final = "sha256:..."

_UNKNOWN_ISSUER: Final = f": trust its authority (ca=FILE), or its key alone (pin={_ANY_PIN})"

# X509_V_ERR_..., X509_verify_cert_error_string(3)
_CHECK_HINTS: Final = {
    10: ": it has expired, or this machine's clock is wrong",
    9: ": it is not valid yet, or this machine's clock is wrong",
    18: _UNKNOWN_ISSUER,
    19: _UNKNOWN_ISSUER,
    20: _UNKNOWN_ISSUER,
    21: _UNKNOWN_ISSUER,
    62: ": connect to the name that it is for, or give it (server_name=NAME)",
    64: ": connect to the address that it is for, or give its name (server_name=NAME)",
}

_NO_TLS: Final = "the peer does not speak TLS: its first bytes are something else"

_REASONS: Final = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": "the peer does not speak TLS: it sent an HTTP request",
    "HTTPS_PROXY_REQUEST": "the peer does not speak TLS: it sent a request to an HTTP proxy",
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client showed no certificate, and one is required (require_client_cert)",
    "UNSUPPORTED_PROTOCOL": "no version of TLS in common: the peer's is older than we allow (minimum_version)",
    "NO_SHARED_CIPHER": "no cipher in common",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "data was changed in transit (bad record MAC)",
}

_REFUSED_RENEGOTIATION: Final = ("SSLV3_ALERT_HANDSHAKE_FAILURE", "NO_RENEGOTIATION", "TLSV1_ALERT_NO_RENEGOTIATION")
"""What a peer of TLS 1.2 sends when its second handshake is refused. After the first one no other failure has this
alert (RFC 5246, 7.2.2); we refuse by OP_NO_RENEGOTIATION, as RFC 9325, 3.5 allows."""

_RENEGOTIATION: Final = (
    "the peer gave up, because its new handshake on the open connection (renegotiation) is refused here: turn it off "
    "at the peer, or use TLS 1.3, which has none; a server can ask for certificates in the first handshake"
)

_ALERT_HINTS: Final = {
    "unknown ca": ": it does not trust the issuer of our certificate",
    "certificate required": ": it requires a certificate of ours (cert=FILE, key=FILE)",
    "certificate expired": ": our certificate has expired",
    "handshake failure": ": no cipher or version in common, or it requires a certificate of ours (cert=FILE, key=FILE)",
    "protocol version": ": no version of TLS in common (minimum_version)",
    "no application protocol": ": it takes none of our protocols (alpn)",
    "unrecognized name": ": it does not serve this name (server_name)",
}
