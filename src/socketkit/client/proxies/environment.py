"""The proxy that the environment names for an address, as curl(1) reads it. No I/O: the environment is an argument.

`HTTPS_PROXY` is for tls:// addresses, `ALL_PROXY` for all. The name in lower case wins. `NO_PROXY` lists hosts that are
connected to directly: names with their subdomains, numbers, networks as 10.0.0.0/8, or `*` for all.
"""

from __future__ import annotations

from collections.abc import Mapping

from socketkit.config.address import Address
from socketkit.config.host import ascii_host, host_family
from socketkit.config.proxy import Proxy, parse_proxies
from socketkit.errors import OptionError

__all__ = ["proxies_from_environment"]


def proxies_from_environment(environment: Mapping[str, str], address: Address, *, is_secure: bool) -> tuple[Proxy, ...]:
    """The proxies for an address; empty: it is connected to directly.

    Args:
        environment: `os.environ`.
        address: with a host and a port.
        is_secure: whether TLS is spoken there.

    Raises:
        OptionError: the variable does not hold proxies; it is named, its value is not shown.
    """
    if is_excepted(_value(environment, "no_proxy")[1], address.host, address.port):
        return ()
    for name in (*(("https_proxy",) if is_secure else ()), "all_proxy"):
        found, text = _value(environment, name)
        if text:
            proxies = parse_proxies(text, name=found)
            if isinstance(proxies, str):
                raise OptionError(f"{found}: 'env' refers to the environment itself; give a proxy")
            return proxies
    return ()


def _value(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """The name that is set, and its value; an empty one means that there is none, as in curl."""
    for found in (name, name.upper()):
        if found in environment:
            return found, environment[found].strip()
    return name, ""


def is_excepted(no_proxy: str, host: str, port: int | None = None) -> bool:
    """Whether a host is in a list as `NO_PROXY` has it. An entry may end with a port, as in wget and Go."""
    name = ascii_host(host or "localhost").removesuffix(".")
    return any(_matches(entry, name, port) for entry in no_proxy.lower().replace(",", " ").split())


def _matches(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    before, colon, last = entry.rpartition(":")
    if colon and last.isdecimal() and (":" not in before or before.endswith("]")):
        if int(last) != port:
            return False
        entry = before
    entry = entry.strip("[]").lstrip(".").removesuffix(".")
    if not host_family(host):
        return bool(entry) and (host == entry or host.endswith(f".{entry}"))
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host.partition("%")[0]) in ip_network(entry, strict=False)
    except ValueError:  # a name, or nothing that curl would match
        return False
