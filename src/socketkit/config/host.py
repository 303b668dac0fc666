"""The machine's part of an address: a name, or a number of IPv4 or IPv6, brought to one spelling.

Two spellings of one host become the same text: case is folded, IPv6 is written as RFC 5952 recommends, a name in
Unicode is normalized. Nothing is looked up here, and nothing knows a socket; a name stays a name, in Unicode, until it
is resolved.
"""

from __future__ import annotations

import re

from socketkit.config.quoting import quote
from socketkit.errors import AddressError

__all__ = ["PLACEHOLDER", "ascii_host", "host_family", "normal_host", "unmapped"]

PLACEHOLDER = "{hostname}"
"""Stands for the machine's own name; the resolver replaces it."""

# Patterns are compiled where they are first used: a program that opens one socket needs few of them.
_MAX_NAME = 253  # RFC 1035, 2.3.4: 255 octets on the wire, of which a name's text can use 253
_MAX_LABEL = 63  # the same
_BAD_IN_LABEL = r"[\x00-,/:-@\[-^`{-\x7f]"  # what is left of ASCII: letters, digits, "-", "_", and "." outside
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_NUMBER_LABEL = r"[0-9]+|0x[0-9a-f]*"
_GROUP = r"[0-9A-Fa-f]{1,4}"
_ZONE = r"[0-9A-Za-z._~+-]{1,15}"  # an interface's name has at most 15 characters (IFNAMSIZ), or its index


def normal_host(host: str) -> str:
    """Checks a host and gives its one spelling.

    Args:
        host: a name, an IPv4 address, an IPv6 address without brackets and perhaps with `%zone`, the placeholder, or
            empty for every interface.

    Raises:
        AddressError: it is none of these.
    """
    if not host:
        return host
    if ":" in host:
        return _ipv6(host)
    name = _folded(host)
    if name == PLACEHOLDER:
        return name
    labels = name.removesuffix(".").split(".")
    # "127.1", "0x7f.1" and "2130706433" are IPv4 addresses to inet_aton(3), hence to many a resolver: a trap for
    # a filter by name. As in the WHATWG URL standard a host that ends in a number is four plain numbers.
    if labels[-1][:1].isdigit() and re.fullmatch(_NUMBER_LABEL, labels[-1]):
        if not re.fullmatch(_IPV4, name):
            raise AddressError(
                f"{quote(host)} is not an IPv4 address; allowed are four numbers from 0 to 255, as 127.0.0.1"
            )
        return name
    _check_name(host, name, labels)
    return name


def _folded(host: str) -> str:
    """Case does not matter in names (RFC 4343), nor do Unicode's several spellings of one letter (RFC 5895)."""
    if host.isascii():
        return host.lower()
    import unicodedata  # only a name in Unicode pays for it

    # lower(), not casefold(): since RFC 5891 "straße" and "strasse" are two names. The ideographic full stop separates
    # labels too (RFC 5895, 2.3).
    normal = unicodedata.normalize("NFKC", host).lower().replace("\u3002", ".")
    return unicodedata.normalize("NFKC", normal)


def _check_name(host: str, name: str, labels: list[str]) -> None:
    if len(name.removesuffix(".")) > _MAX_NAME:
        raise AddressError(f"host {quote(host)} has {len(name)} characters; allowed are {_MAX_NAME}")
    for label in labels:
        if not label:
            raise AddressError(f"host {quote(host)} has an empty label; allowed is one dot between two labels")
        if len(label) > _MAX_LABEL:
            raise AddressError(f"host label {quote(label)} has {len(label)} characters; allowed are {_MAX_LABEL}")
        if label.replace("-", "").replace("_", "").isalnum():
            continue
        bad = re.search(_BAD_IN_LABEL, label)
        if bad or not label.isprintable():
            wrong = bad[0] if bad else next(character for character in label if not character.isprintable())
            raise AddressError(
                f"host {quote(host)} contains {quote(wrong)}; allowed are letters, digits, '-', '_', "
                f"a number of IPv4, or of IPv6 in brackets, {PLACEHOLDER}, or nothing for every interface"
            )


_DEVIATIONS = "\u00df\u03c2\u200c\u200d"  # UTS 46, table 1: IDNA 2003 replaces or drops these four characters


def ascii_host(host: str) -> str:
    """The host as DNS and TLS take it: labels in Unicode as `xn--...` (IDNA 2008 with the mapping of UTS 46).

    The package `idna` does it. Without it Python's codec does, which knows IDNA 2003: a name that stands for two
    domains in the two standards is refused then.

    Args:
        host: in its normal spelling; a number stays as it is.

    Raises:
        AddressError: no domain can have this name, or the package is needed for it.
    """
    if host.isascii():
        return host
    try:
        import idna  # only a name in Unicode pays for it
    except ImportError:
        return _ascii_by_idna_2003(host)
    try:
        labels = idna.uts46_remap(host, std3_rules=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels)
    except UnicodeError as error:
        raise AddressError(f"host {quote(host)} is no domain name (IDNA 2008): {error}") from None


def _ascii_by_idna_2003(host: str) -> str:
    for label in host.split("."):
        if any(character in label for character in _DEVIATIONS):
            written = "xn--" + label.encode("punycode").decode("ascii")
            raise AddressError(
                f"host {quote(host)}: {quote(label)} is another name in IDNA 2003, which is all that Python has; "
                f"install the package idna (pip install 'socketkit[idna]'), or write {written}"
            )
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise AddressError(f"host {quote(host)} is no domain name (IDNA): {error}") from None


def host_family(host: str) -> str:
    """The family that a number belongs to, `AF_INET` or `AF_INET6`; empty for a name, the placeholder, or no host.

    Args:
        host: in its normal spelling.
    """
    if ":" in host:
        return "AF_INET6"
    return "AF_INET" if host[-1:].isdigit() and re.fullmatch(_IPV4, host) else ""


def unmapped(host: str) -> str:
    """What a socket for both families shows as `::ffff:10.0.0.1`, as IPv4 itself (RFC 4291, 2.5.5.2)."""
    return host.removeprefix("::ffff:") if host.startswith("::ffff:") and "." in host else host


def _ipv6(host: str) -> str:
    number, percent, zone = host.partition("%")
    groups = _groups(number)
    if groups is None:
        raise AddressError(
            f"{quote(host)} is not an IPv6 address; allowed is a number as ::1, fe80::1%eth0 or 2001:db8::7"
        )
    if percent and not re.fullmatch(_ZONE, zone):
        raise AddressError(
            f"{quote(zone)} is not a zone of an IPv6 address; allowed is an interface as eth0, or its number"
        )
    return _written(groups) + percent + zone


def _groups(number: str) -> list[int] | None:
    """The eight groups of RFC 4291, 2.2, or None."""
    head, colon, tail = number.rpartition(":")
    if "." in tail:  # the last 32 bits may be written as IPv4
        if not re.fullmatch(_IPV4, tail):
            return None
        a, b, c, d = map(int, tail.split("."))
        number = f"{head}{colon}{a * 256 + b:x}:{c * 256 + d:x}"
    before, gap, after = number.partition("::")
    left = before.split(":") if before else []
    right = after.split(":") if after else []
    missing = 8 - len(left) - len(right)
    if missing < 1 if gap else missing != 0:
        return None
    if not all(re.fullmatch(_GROUP, group) for group in left + right):
        return None
    return [int(group, 16) for group in left] + [0] * missing + [int(group, 16) for group in right]


def _written(groups: list[int]) -> str:
    """RFC 5952, 4 and 5: lower case, no leading zeros, the first longest run of zeros cut, IPv4-mapped in dots."""
    if groups[:6] == [0, 0, 0, 0, 0, 0xFFFF]:
        return f"::ffff:{groups[6] >> 8}.{groups[6] & 255}.{groups[7] >> 8}.{groups[7] & 255}"
    start, length = _longest_zeros(groups)
    if length < 2:
        return ":".join(f"{group:x}" for group in groups)
    left = ":".join(f"{group:x}" for group in groups[:start])
    right = ":".join(f"{group:x}" for group in groups[start + length :])
    return f"{left}::{right}"


def _longest_zeros(groups: list[int]) -> tuple[int, int]:
    best, start, length = 0, 0, 0
    for index, group in enumerate(groups):
        length = 0 if group else length + 1
        if length > best:
            best, start = length, index - length + 1
    return start, best
