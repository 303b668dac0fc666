"""What each scheme of an address stands for, and how its addresses are written: one table.

A scheme names families and a kind of socket, and a `Body`: the way in which host, port and path are read, checked and
written. A new scheme is a line in `_SCHEMES`, and a `Body` where it is written in a new way. Families and kinds are the
names of the constants of `socket`; nothing here knows a socket itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from socketkit.config.host import host_family, normal_host, unmapped
from socketkit.config.percent_encoding import (
    COMMAND_SAFE,
    PATH_SAFE,
    decode_bytes,
    decode_command,
    decode_text,
    encode,
    to_bytes,
)
from socketkit.config.quoting import quote, suggest
from socketkit.errors import AddressError
from socketkit.values import Value

__all__ = [
    "Body",
    "Parts",
    "Scheme",
    "find_scheme",
    "is_bare",
    "normal_resource",
    "scheme_names",
    "scheme_of_socket",
    "secure_name",
    "socket_path",
    "split_command",
    "websocket_name",
]


class Parts(Value):
    """What an address holds besides its scheme and its options; the fields of `Address` tell more."""

    host: str = ""
    port: int | None = None
    path: str = ""
    resource: str = ""


class Body(Value):
    """One way to write what stands between `scheme:` and the options.

    Attributes:
        bare: whether `scheme:` may stand without `//`. Where it may not, `scheme:5000` is a host and its port.
        read: text to parts, unchecked; raises AddressError.
        check: a scheme and parts to their normal form; raises AddressError.
        write: normal parts to text, so that `read` gives the same.
        believe: what `getsockname` and its like give to parts; never fails on what a system can give.
    """

    bare: bool
    read: Callable[[str], Parts]
    check: Callable[[Scheme, Parts], Parts]
    write: Callable[[Parts], str]
    believe: Callable[[Any], Parts]


class Scheme(Value):
    """What a scheme stands for.

    Attributes:
        name: as it is written.
        families: names of the constants of `socket`: the families in which it may be; none where it is no socket of
            ours, or where only the system can say.
        kind: the same for the socket's type.
        body: how its addresses are written.
        is_secure: whether TLS is spoken over it.
        is_websocket: whether WebSocket is spoken over it; then the address has a `resource`.
    """

    name: str
    families: tuple[str, ...]
    kind: str
    body: Body
    is_secure: bool = False
    is_websocket: bool = False

    @property
    def is_datagram(self) -> bool:
        """Whether it has no connections: datagrams and raw sockets."""
        return self.kind in ("SOCK_DGRAM", "SOCK_RAW")


_PORT = re.compile(r"[0-9]{1,5}")
_PAIR = r"(\S*?):?\s+(\S+)"


def _read_host_port(body: str) -> Parts:
    authority, slash, path = body.removeprefix("//").partition("/")
    if slash:
        raise AddressError(f"the path {quote(slash + path)} leads nowhere; allowed is host:port alone")
    if "@" in authority:
        user = authority.rpartition("@")[0] + "@"
        raise AddressError(f"the user {quote(user)} has no meaning here; allowed is host:port alone")
    host, port = _split_bracket(authority) if authority.startswith("[") else _split_port(authority)
    return Parts(host, _port(port))


def _split_port(authority: str) -> tuple[str, str]:
    if "[" in authority or "]" in authority:
        raise AddressError(f"unbalanced bracket in {quote(authority)}; allowed is [IPv6]:port")
    if any(map(str.isspace, authority)) and (pair := re.fullmatch(_PAIR, authority)):
        raise AddressError(f"{quote(authority)} contains a space; did you mean {quote(f'{pair[1]}:{pair[2]}')}?")
    host, colon, port = authority.rpartition(":")
    if ":" in host:
        raise AddressError(f"{quote(authority)} has more than one colon; allowed is host:port, or IPv6 as [::1]:port")
    if not colon and _PORT.fullmatch(authority):
        raise AddressError(f"{quote(authority)} has no colon; did you mean {quote(':' + authority)}, every interface?")
    if not port or not colon:
        raise AddressError(f"{quote(authority)} has no port; allowed is host:port, with a port from 0 to 65535")
    return decode_text(host), port


def _split_bracket(authority: str) -> tuple[str, str]:
    inside, bracket, rest = authority[1:].partition("]")
    if not bracket or "[" in inside or "]" in rest:
        raise AddressError(f"unbalanced bracket in {quote(authority)}; allowed is [IPv6]:port")
    if not rest.startswith(":") or rest == ":":
        raise AddressError(f"{quote(authority)} has no port; allowed is [IPv6]:port, with a port from 0 to 65535")
    if ":" not in inside:
        raise AddressError(f"{quote(inside)} is not an IPv6 address; allowed in brackets is IPv6 alone")
    number, percent, zone = inside.partition("%")
    # RFC 6874 writes the zone's % as %25; people write % alone. "%25" with nothing after it is the interface number 25.
    if zone.startswith("25") and zone != "25":
        zone = zone[2:]
    return number + percent + zone, rest[1:]


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise AddressError(f"port {quote(text)} is not a port; allowed is a number from 0 to 65535")
    return int(text)


def _check_host_port(scheme: Scheme, parts: Parts) -> Parts:
    if parts.path:
        raise AddressError(f"{scheme.name} has no path, but here is {quote(parts.path)}; allowed is host:port")
    port = parts.port
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise AddressError(f"port {quote(port)} is not a port; allowed is a number from 0 to 65535")
    host = normal_host(parts.host)
    family = host_family(host)
    if family and family not in scheme.families:
        other = "IPv6" if family == "AF_INET" else "IPv4"
        raise AddressError(f"{quote(host)} does not go with {scheme.name}; allowed is a name or an {other} address")
    return Parts(host, port)


def _write_host_port(parts: Parts) -> str:
    host = parts.host
    if ":" in host:
        number, percent, zone = host.partition("%")
        # A zone that itself begins with 25 is written as RFC 6874 has it, else it would be read as an escaped %.
        host = f"[{number}{'%25' if zone.startswith('25') else percent}{zone}]"
    return f"//{host}:{parts.port}"


def _believe_host_port(name: Any) -> Parts:
    host, port, *more = name
    if ":" in host:
        host = unmapped(normal_host(host))
        if len(more) == 2 and more[1] and ":" in host and "%" not in host:  # (flow, scope); RFC 4007, 11: the zone
            host = f"{host}%{more[1]}"
    return Parts(host, port)


def _read_ws(body: str, default: int) -> Parts:
    authority, slash, path = body.removeprefix("//").partition("/")
    if authority and not re.search(r":[^\]]*$", authority):  # RFC 6455, 3: a port may be left out
        authority = f"{authority}:{default}"
    parts = _read_host_port(f"//{authority}")
    return Parts(parts.host, parts.port, resource=slash + path)


def _check_ws(scheme: Scheme, parts: Parts) -> Parts:
    checked = _check_host_port(scheme, Parts(parts.host, parts.port, parts.path))
    return Parts(checked.host, checked.port, resource=normal_resource(parts.resource))


def _write_ws(parts: Parts) -> str:
    return _write_host_port(parts) + parts.resource.partition("?")[0]


def _check_ws_path(scheme: Scheme, parts: Parts) -> Parts:
    checked = _check_path(scheme, Parts(parts.host, parts.port, parts.path))
    return Parts(path=checked.path, resource=normal_resource(parts.resource))


def normal_resource(resource: str) -> str:
    """The path and query of a request as they are sent: ASCII, with everything else percent-encoded.

    Raises:
        AddressError: a control character, which could begin another line of the request; or no path.
    """
    if control := re.search(r"[\x00-\x1f\x7f-\x9f]", resource):
        raise AddressError(f"{quote(control[0])} in the request's path {quote(resource)}; allowed is its escape")
    if not resource:
        return ""
    if not resource.startswith("/"):
        if not resource.startswith("?"):
            raise AddressError(f"the request's path {quote(resource)} does not begin with '/'; allowed is /path?query")
        resource = f"/{resource}"
    return "".join(
        character
        if "!" <= character <= "~" and character not in '"<>\\^`{}|#'
        else "".join(f"%{byte:02X}" for byte in to_bytes(character))
        for character in resource
    )


def _read_host(body: str) -> Parts:
    authority, slash, path = body.removeprefix("//").partition("/")
    if slash:
        raise AddressError(f"the path {quote(slash + path)} leads nowhere; allowed is a host alone")
    if not authority.startswith("["):
        if ":" in authority and authority.count(":") == 1:
            raise AddressError(f"{quote(authority)} has a port, and a raw socket has none; allowed is a host alone")
        return Parts(decode_text(authority))
    inside, bracket, rest = authority[1:].partition("]")
    if not bracket or rest:
        raise AddressError(f"{quote(authority)} is not a host; allowed is a name, an IPv4 address, or [IPv6]")
    return Parts(_split_bracket(f"[{inside}]:0")[0])


def _check_host(scheme: Scheme, parts: Parts) -> Parts:
    if parts.port is not None or parts.path:
        wrong = parts.path or parts.port
        raise AddressError(f"{scheme.name} has a host alone, but here is {quote(wrong)}; allowed is ip://host")
    return Parts(_check_host_port(scheme, Parts(parts.host, 0)).host)


def _write_host(parts: Parts) -> str:
    return _write_host_port(Parts(parts.host, 0)).removesuffix(":0")


def _believe_host(name: Any) -> Parts:
    return Parts(_believe_host_port(name).host)


_MAX_PATH = 107
"""Bytes of a UNIX socket's path or abstract name: sun_path has 108, one of which is the zero byte (unix(7))."""

_UNNAMED = "//unnamed"


def socket_path(path: str) -> bytes:
    """The path as `bind` and `connect` of a UNIX socket take it: an abstract name begins with a zero byte.

    Raises:
        AddressError: half a character in it.
    """
    return b"\0" + to_bytes(path[1:]) if path.startswith("@") else to_bytes(path)


def _read_path(body: str) -> Parts:
    if body == _UNNAMED:
        return Parts()
    text = body.removeprefix("//")
    if not text:
        raise AddressError("there is no path; allowed is unix:///path, unix:path or unix://@name")
    if body.startswith("//") and not text.startswith(("/", "@")):
        near = f"{quote('unix:' + text)} or {quote('unix:///' + text)}"
        raise AddressError(f"{quote(text)} stands where a URL has its host; did you mean {near}?")
    path = decode_bytes(text).decode("utf-8", "surrogateescape")
    # Only a plain @ means the abstract namespace: an escaped character stands for itself, here in a file's name.
    return Parts(path=f"./{path}" if path.startswith("@") and not text.startswith("@") else path)


def _check_path(scheme: Scheme, parts: Parts) -> Parts:
    if parts.host or parts.port is not None:
        wrong = parts.host or parts.port
        raise AddressError(f"{scheme.name} has neither host nor port, but here is {quote(wrong)}; allowed is a path")
    path = _normal_path(parts.path)
    if path == "@":
        raise AddressError("there is no name after '@'; allowed is @name")
    is_abstract = path.startswith("@")
    if "\0" in path and not is_abstract:
        raise AddressError(f"path {quote(path)} contains a zero byte; allowed is one in an abstract @name only")
    size = len(socket_path(path)) - is_abstract
    if size > _MAX_PATH:
        raise AddressError(f"path {quote(path)} has {size} bytes; allowed are {_MAX_PATH}, as many as the system takes")
    return Parts(path=path)


def _normal_path(path: str) -> str:
    """`./x` and `x` are one file. Nothing else is simplified: `a/../b` need not be `b` where `a` is a link."""
    short = path
    while short.startswith("./"):
        short = short[2:].lstrip("/")
    if short.startswith("@") and path.startswith("./"):
        return f"./{short}"
    return short or path


def _write_path(parts: Parts) -> str:
    if not parts.path:
        return _UNNAMED
    slashes = "//" if parts.path.startswith(("/", "@")) else ""
    return slashes + encode(parts.path, PATH_SAFE)


def _believe_path(name: Any) -> Parts:
    path = name if isinstance(name, str) else bytes(name or b"").decode("utf-8", "surrogateescape")
    if path.startswith("\0"):
        return Parts(path=f"@{path[1:]}" if path[1:] else "")
    return Parts(path=_normal_path(f"./{path}" if path.startswith("@") else path))


_CID_NAMES = {"hypervisor": "0", "local": "1", "host": "2"}  # VMADDR_CID_*, vsock(7)
_ANY = 2**32 - 1
"""Stands for every context, and for a free port (VMADDR_CID_ANY, VMADDR_PORT_ANY): here an empty host, and port 0."""


def _read_vsock(body: str) -> Parts:
    authority = body.removeprefix("//")
    cid, colon, port = authority.rpartition(":")
    if not colon:
        raise AddressError(f"{quote(authority)} has no port; allowed is vsock://cid:port")
    return Parts(_CID_NAMES.get(cid.lower(), cid), _number(port, "port"))


def _number(text: str, what: str) -> int:
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) >= _ANY:
        raise AddressError(f"{what} {quote(text)} is not a {what}; allowed is a number from 0 to {_ANY - 1}")
    return int(text)


def _check_vsock(scheme: Scheme, parts: Parts) -> Parts:
    if parts.path:
        raise AddressError(f"{scheme.name} has no path, but here is {quote(parts.path)}; allowed is cid:port")
    if isinstance(parts.port, bool) or not isinstance(parts.port, int):
        raise AddressError(f"port {quote(parts.port)} is not a port; allowed is a number from 0 to {_ANY - 1}")
    if parts.host and not re.fullmatch("[0-9]{1,10}", parts.host):
        allowed = f"a number, {', '.join(_CID_NAMES)}, or nothing for every context"
        raise AddressError(f"{quote(parts.host)} is not the number of a context (CID); allowed is {allowed}")
    return Parts(str(_number(parts.host, "context")) if parts.host else "", _number(str(parts.port), "port"))


def _write_vsock(parts: Parts) -> str:
    return f"//{parts.host}:{parts.port}"


def _believe_vsock(name: Any) -> Parts:
    cid, port = name
    return Parts("" if cid == _ANY else str(cid), 0 if port == _ANY else port)


def _word_body(name: str, *, bare: bool, read: Callable[[str], str], check: Callable[[str], str]) -> Body:
    """A body of one text, which is kept as the path."""
    safe = COMMAND_SAFE if name == "exec" else PATH_SAFE

    def check_parts(scheme: Scheme, parts: Parts) -> Parts:
        if parts.host or parts.port is not None:
            raise AddressError(f"{name} has neither host nor port, but here is {quote(parts.host or parts.port)}")
        return Parts(path=check(parts.path))

    def write(parts: Parts) -> str:
        slashes = "" if bare else "//"
        return slashes + encode(parts.path, safe)

    return Body(bare, lambda body: Parts(path=read(body)), check_parts, write, lambda told: Parts())


def _check_descriptor(text: str) -> str:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise AddressError(f"descriptor {quote(text)} is not a number; allowed is that of an open one, as fd://3")
    return str(int(text))


def _check_nothing(text: str) -> str:
    if text:
        raise AddressError(f"{quote(text)} leads nowhere; allowed is 'stdio:' or '-' alone")
    return text


def _check_name(text: str) -> str:
    # sd_listen_fds_with_names(3): at most 255 characters, no control character, no colon
    if len(text) > 255 or ":" in text or not (text.isascii() and text.isprintable()):
        allowed = "a name of FileDescriptorName=, or nothing for all that were passed"
        raise AddressError(f"{quote(text)} is not the name of a socket; allowed is {allowed}")
    return text


def _check_command(text: str) -> str:
    split_command(text)
    return text


def split_command(text: str) -> list[str]:
    """The words of a command, as a shell splits them, though nothing is expanded and no shell is asked.

    Raises:
        AddressError: there is none, a quotation does not end, or no program could be told it.
    """
    import shlex  # only a command pays for it

    to_bytes(text)
    if "\0" in text:
        raise AddressError(f"command {quote(text)} contains a zero byte, which no program can be told")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise AddressError(f"command {quote(text)} cannot be split into words: {error}") from None
    if not words or not words[0]:
        raise AddressError(f"there is no command in {quote(text)}; allowed is one with its arguments, as exec:cat -n")
    return words


_HOST_PORT = Body(False, _read_host_port, _check_host_port, _write_host_port, _believe_host_port)
_HOST = Body(False, _read_host, _check_host, _write_host, _believe_host)
_PATH = Body(True, _read_path, _check_path, _write_path, _believe_path)
_VSOCK = Body(False, _read_vsock, _check_vsock, _write_vsock, _believe_vsock)
_FD = _word_body("fd", bare=False, read=lambda body: body.removeprefix("//"), check=_check_descriptor)
_STDIO = _word_body("stdio", bare=True, read=lambda body: body.removeprefix("//"), check=_check_nothing)
_SYSTEMD = _word_body("systemd", bare=True, read=lambda body: decode_text(body.removeprefix("//")), check=_check_name)
_WS = Body(False, partial(_read_ws, default=80), _check_ws, _write_ws, _believe_host_port)
_WSS = Body(False, partial(_read_ws, default=443), _check_ws, _write_ws, _believe_host_port)
_WS_PATH = Body(True, _read_path, _check_ws_path, _write_path, _believe_path)
_EXEC = _word_body("exec", bare=True, read=decode_command, check=_check_command)

# Where several schemes fit a socket, the first names it.
_SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("tcp", ("AF_INET", "AF_INET6"), "SOCK_STREAM", _HOST_PORT),
        Scheme("tcp4", ("AF_INET",), "SOCK_STREAM", _HOST_PORT),
        Scheme("tcp6", ("AF_INET6",), "SOCK_STREAM", _HOST_PORT),
        Scheme("udp", ("AF_INET", "AF_INET6"), "SOCK_DGRAM", _HOST_PORT),
        Scheme("udp4", ("AF_INET",), "SOCK_DGRAM", _HOST_PORT),
        Scheme("udp6", ("AF_INET6",), "SOCK_DGRAM", _HOST_PORT),
        Scheme("unix", ("AF_UNIX",), "SOCK_STREAM", _PATH),
        Scheme("unixgram", ("AF_UNIX",), "SOCK_DGRAM", _PATH),
        Scheme("unixpacket", ("AF_UNIX",), "SOCK_SEQPACKET", _PATH),
        Scheme("ip", ("AF_INET", "AF_INET6"), "SOCK_RAW", _HOST),
        Scheme("ip4", ("AF_INET",), "SOCK_RAW", _HOST),
        Scheme("ip6", ("AF_INET6",), "SOCK_RAW", _HOST),
        Scheme("tls", ("AF_INET", "AF_INET6"), "SOCK_STREAM", _HOST_PORT, is_secure=True),
        Scheme("tls+unix", ("AF_UNIX",), "SOCK_STREAM", _PATH, is_secure=True),
        Scheme("ws", ("AF_INET", "AF_INET6"), "SOCK_STREAM", _WS, is_websocket=True),
        Scheme("wss", ("AF_INET", "AF_INET6"), "SOCK_STREAM", _WSS, is_secure=True, is_websocket=True),
        Scheme("ws+unix", ("AF_UNIX",), "SOCK_STREAM", _WS_PATH, is_websocket=True),
        Scheme("vsock", ("AF_VSOCK",), "SOCK_STREAM", _VSOCK),
        Scheme("fd", (), "", _FD),
        Scheme("systemd", (), "", _SYSTEMD),
        Scheme("stdio", (), "", _STDIO),
        Scheme("exec", (), "", _EXEC),
    )
}

_SECURE = {"tcp": "tls", "tcp4": "tls", "tcp6": "tls", "unix": "tls+unix"}
_WEBSOCKET = {"tcp": "ws", "tcp4": "ws", "tcp6": "ws", "tls": "wss", "unix": "ws+unix", "tls+unix": "ws+unix"}


def secure_name(name: str) -> str:
    """The scheme of what this one becomes when TLS is spoken over it; the same where there is no name for that."""
    return _SECURE.get(name, name)


def websocket_name(name: str) -> str:
    """The scheme of what this one becomes when WebSocket is spoken over it; the same where it has no name."""
    return _WEBSOCKET.get(name, name)


def scheme_names() -> tuple[str, ...]:
    """The schemes that this version speaks."""
    return tuple(_SCHEMES)


def find_scheme(name: str) -> Scheme:
    """What a scheme stands for.

    Raises:
        AddressError: no such scheme (the nearest is suggested).
    """
    scheme = _SCHEMES.get(name)
    if scheme is not None:
        return scheme
    allowed = ", ".join(_SCHEMES)
    near = suggest(str(name), _SCHEMES, form="{}://")
    raise AddressError(f"unknown scheme {quote(name)}{near}; allowed are {allowed}")


def is_bare(name: str) -> bool | None:
    """Whether `name:` may stand without `//`; None where there is no such scheme."""
    scheme = _SCHEMES.get(name)
    return scheme.body.bare if scheme else None


def scheme_of_socket(family: str, kind: str) -> Scheme:
    """The scheme that names the addresses of a socket.

    Raises:
        AddressError: no scheme of this version has this family and kind.
    """
    for scheme in _SCHEMES.values():
        if kind == scheme.kind and family in scheme.families:
            return scheme
    raise AddressError(f"no scheme is for a socket of {family} and {kind}; there are {', '.join(_SCHEMES)}")
