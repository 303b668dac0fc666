"""Read a certificate: names, expiry, fingerprint, and the pin of its key.

The standard library returns the fields only of a verified certificate, and never the bytes of its public key, which the
pin needs. The package `cryptography` can do it: it takes 45 ms to import, this module 0.04 ms a certificate, and every
TLS client would need it. Reads DER (X.690) as far as X.509 needs it (RFC 5280, 4.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from socket import AF_INET, AF_INET6, inet_ntop

from socketkit.values import Value

__all__ = ["Certificate", "read_certificate"]

_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}
_ALTERNATIVE_NAMES = "2.5.29.17"
_SEQUENCE, _EXPLICIT_0, _EXPLICIT_3, _OCTETS, _UTC_TIME, _BMP_TEXT = 0x30, 0xA0, 0xA3, 0x04, 0x17, 0x1E
_TEXT_NAMES, _IP_ADDRESS = {0x81: "email", 0x82: "DNS", 0x86: "URI"}, 0x87  # GeneralName (RFC 5280, 4.2.1.6)


class Certificate(Value):
    """Facts of a certificate.

    Attributes:
        subject, issuer: as `CN=example.com, O=...`.
        expiry: as `2027-01-31 12:00:00Z`.
        alternative_names: its subjectAltName, as pairs that `ssl` makes too: `("DNS", "*.example.com")`, `("IP
            Address", "::1")`, `("email", ...)`, `("URI", ...)`. Names of other kinds are left out.
        fingerprint: SHA-256 of the certificate, in hexadecimal digits.
        pin: SHA-256 of its SubjectPublicKeyInfo, as `sha256:` and hexadecimal digits (RFC 7469, 2.4).
    """

    subject: str
    issuer: str
    expiry: str
    alternative_names: tuple[tuple[str, str], ...]
    fingerprint: str
    pin: str

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The alternative names of hosts, as written there (`*.example.com`)."""
        return tuple([name for kind, name in self.alternative_names if kind == "DNS"])


def read_certificate(der: bytes) -> Certificate:
    """Read a certificate in DER.

    Raises:
        ValueError: it is not a certificate.
    """
    try:
        return _read(der)
    except IndexError:
        raise ValueError("the certificate is cut") from None


def _read(der: bytes) -> Certificate:
    import hashlib  # loads OpenSSL

    whole = _only(_items(der))
    body = list(_items(_only(_items(whole[2]))[2]))
    if body and body[0][0] == _EXPLICIT_0:  # the version, which version 1 omits
        del body[0]
    _, _, issuer, validity, subject, key, *more = body
    expiry = list(_items(validity[2]))[1]
    extensions = next((item for item in more if item[0] == _EXPLICIT_3), None)
    return Certificate(
        subject=_name(subject[2]),
        issuer=_name(issuer[2]),
        expiry=_moment(*expiry),
        alternative_names=tuple(_alternative_names(extensions[2])) if extensions else (),
        fingerprint=hashlib.sha256(whole[1]).hexdigest(),
        pin=f"sha256:{hashlib.sha256(key[1]).hexdigest()}",
    )


Item = tuple[int, bytes, bytes]
"""One element: its tag, all its bytes, and its contents."""


def _items(data: bytes) -> Iterator[Item]:
    """The elements in these bytes, one after the other."""
    at = 0
    while at < len(data):
        tag, size, start = data[at], data[at + 1], at + 2
        if size & 0x80:  # the long form: the number of bytes of the length follows
            count = size & 0x7F
            if not 0 < count <= 4:
                raise ValueError("a length that no certificate has")
            size, start = int.from_bytes(data[start : start + count], "big"), start + count
        if start + size > len(data):
            raise ValueError("the certificate is cut")
        yield tag, data[at : start + size], data[start : start + size]
        at = start + size


def _only(items: Iterator[Item]) -> Item:
    item = next(items, None)
    if item is None or item[0] != _SEQUENCE:
        raise ValueError("not a certificate")
    return item


def _oid(data: bytes) -> str:
    numbers, value = [], 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _name(data: bytes) -> str:
    parts = []
    for _, _, relative_name in _items(data):
        for _, _, pair in _items(relative_name):
            (_, _, kind), (tag, _, value) = _items(pair)
            text = value.decode("utf-16-be" if tag == _BMP_TEXT else "utf-8", "replace")
            parts.append(f"{_NAMES.get(_oid(kind), _oid(kind))}={text}")
    return ", ".join(parts)


def _moment(tag: int, whole: bytes, contents: bytes) -> str:
    text = contents.decode("ascii", "replace")
    if tag == _UTC_TIME:  # two digits of the year: 50 and more mean 19.. (RFC 5280, 4.1.2.5.1)
        text = ("19" if text[:2] >= "50" else "20") + text
    return f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[8:10]}:{text[10:12]}:{text[12:14]}Z"


def _alternative_names(data: bytes) -> Iterator[tuple[str, str]]:
    for _, _, extension in _items(_only(_items(data))[2]):
        kind, *_, value = _items(extension)
        if _oid(kind[2]) == _ALTERNATIVE_NAMES and value[0] == _OCTETS:
            for tag, _, name in _items(_only(_items(value[2]))[2]):
                if tag in _TEXT_NAMES:
                    yield _TEXT_NAMES[tag], name.decode("ascii", "replace")
                elif tag == _IP_ADDRESS and len(name) in (4, 16):
                    yield "IP Address", inet_ntop(AF_INET if len(name) == 4 else AF_INET6, name)
