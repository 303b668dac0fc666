"""Where we call from: the option `bind`, a number of IPv4 or IPv6 with a port or without."""

from __future__ import annotations

import re

from socketkit.config.host import host_family, normal_host
from socketkit.config.option_types import OptionType
from socketkit.config.quoting import quote
from socketkit.errors import AddressError, OptionError

__all__ = ["SOURCE", "parse_source", "split_source"]

_FORM = r"(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::([0-9]{1,5}))?"


def parse_source(value: object, *, name: str = "") -> str:
    """Reads it, and gives its one spelling: `10.0.0.1`, `10.0.0.1:5000`, `[::1]`, `[::1]:5000`, `:5000`.

    Raises:
        OptionError: a name, which could stand for several; a port beyond 65535; anything else.
    """
    match = re.fullmatch(_FORM, value) if isinstance(value, str) else None
    problem = (
        f"{name}: {quote(value)} is not an address to connect from; allowed is a number, as 10.0.0.1, [::1] or :5000"
    )
    if match is None:
        raise OptionError(problem)
    inside, plain, port = match.groups()
    try:
        host = normal_host(inside if plain is None else plain)
    except AddressError as error:
        raise OptionError(f"{problem} ({error})") from None
    family = host_family(host)
    if (host and not family) or (inside is not None) != (family == "AF_INET6") or int(port or 0) > 65535:
        raise OptionError(problem)
    if not host and not int(port or 0):
        raise OptionError(problem)
    written = f"[{host}]" if family == "AF_INET6" else host
    return written + (f":{int(port)}" if int(port or 0) else "")


def split_source(text: str) -> tuple[str, str, int]:
    """The family (empty: any), the host (empty: any) and the port (0: a free one) of what `parse_source` gave."""
    match = re.fullmatch(_FORM, text)
    assert match is not None
    inside, plain, port = match.groups()
    host = inside or plain or ""
    return host_family(host), host, int(port or 0)


SOURCE = OptionType("address", parse_source, str)
