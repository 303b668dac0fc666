"""Where: an address as a URL, one spelling for each meaning.

`Address.parse` and `str` are inverse on the canonical form, but for the passwords of proxies, which `str` hides. Two
addresses are equal when they mean the same. All of an address is checked, its options too, before anything is opened.
An address is a plain value: nothing here looks up a name, touches a file, or knows a socket. What each scheme means
stands in `scheme`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from socketkit.config.host import PLACEHOLDER, host_family
from socketkit.config.options import Options, format_option
from socketkit.config.percent_encoding import QUERY_SAFE, decode_text, encode, split_command_query, to_bytes
from socketkit.config.proxy import hide_passwords
from socketkit.config.quoting import quote
from socketkit.config.schemes import Parts, Scheme, find_scheme, is_bare, scheme_of_socket, socket_path
from socketkit.errors import AddressError, OptionError
from socketkit.values import Value, replace

__all__ = ["Address"]

_EXAMPLES = "tcp://host:port, host:port, unix:///path or @name"


class _Constant(Protocol):
    """A constant of `socket`, as `socket.AF_INET` or `socket.SOCK_STREAM`; it goes by its name."""

    @property
    def name(self) -> str: ...


class Address(Value):
    """A place to connect to or to serve at.

    The constructor checks and normalizes as `parse` does, so an address that exists is whole and canonical.

    Attributes:
        scheme: the name of a line in the table of `scheme`, as `tcp` or `unix`.
        host: a name in Unicode, an IPv4 or IPv6 number (no brackets; perhaps `%zone`), `{hostname}` for the machine's
            own name; of `vsock` the number of a context; empty for every interface, or where the scheme has no host.
        port: 0 to 65535 (of `vsock` to 4294967294), where 0 asks for a free one; None where the scheme has no port.
        path: of a UNIX socket: a file's path; `@name` in Linux's abstract namespace; empty for a socket without a
            name. Of `fd` the number, of `systemd` the name, of `exec` the command. Bytes that are not UTF-8 are
            surrogates, as everywhere in Python; `socket_path` gives them back.
        options: pairs of name and canonical text, sorted by name; `Options.make(dict(address.options))` reads them.
            The constructor takes pairs or a mapping, with text or native values.
        resource: of a WebSocket: path and query of the request as they are sent (`/chat?token=1`, RFC 6455, 3); empty:
            a client asks for `/`, a server takes every path.
    """

    scheme: str
    host: str = ""
    port: int | None = None
    path: str = ""
    options: tuple[tuple[str, str], ...] = ()
    resource: str = ""

    def __post_init__(self) -> None:
        scheme = find_scheme(self.scheme)
        parts = scheme.body.check(scheme, Parts(self.host, self.port, self.path, self.resource))
        if self.resource and not scheme.is_websocket:
            raise AddressError(f"{scheme.name} has no request, but here is {quote(self.resource)}; allowed is none")
        _set_fields(self, self.scheme, parts, _normal_options(self.options))

    @classmethod
    def parse(cls, text: str | Address, *, default_scheme: str = "tcp") -> Address:
        """Return the address that a text means, as a program or a person writes it.

        Besides URLs (`tcp://localhost:5000?nodelay=no`, `unix:///run/echo.sock`, `unix:echo.sock`, `unix://@echo`) the
        short forms are read: `host:port`, `:port`, `[::1]:port`, `/path`, `./path`, `../path`, `@name`, and `-` for
        standard input and output. They follow the same rules, so a literal `%`, `?` or `#` is written `%25`, `%3F`,
        `%23` in them too; only in a command (`exec:date +%s`) each stands for itself where it cannot mean more.

        Args:
            text: the address; an `Address` is given back as it is.
            default_scheme: the scheme of a short form. Where that one has a host and a port, a path is still `unix`.

        Raises:
            AddressError: any part of it is wrong. One line that quotes the part and says what is allowed.
        """
        if isinstance(text, Address):
            return text
        if not isinstance(text, str) or not text:
            raise AddressError(f"{quote(text)} is not an address; allowed is a text as {_EXAMPLES}")
        try:
            return _parse(text, default_scheme)
        except AddressError as error:
            raise AddressError(f"address {quote(_without_secrets(text))}: {error}") from error.__cause__

    @classmethod
    def from_socket_name(cls, family: _Constant, kind: _Constant, name: Any) -> Address:
        """Return the address for what `getsockname`, `getpeername` and `accept` give.

        An IPv4 peer of a socket for both families gets its IPv4 address. A scope of IPv6 becomes the zone, as a number.
        A UNIX socket without a name has the path `""` and is written `unix://unnamed`. What the system gives is
        believed, not checked: no check may refuse a peer that exists, and `accept` has no time for any.

        Args:
            family: the socket's `family`.
            kind: the socket's `type`.
            name: the pair or quadruple of an INET socket, the text or bytes of a UNIX socket.

        Raises:
            AddressError: no scheme of this version has this family and kind.
        """
        try:
            names = family.name, kind.name
        except AttributeError:
            names = _constant_names(family, kind)
        scheme = scheme_of_socket(*names)
        address = object.__new__(cls)
        _set_fields(address, scheme.name, scheme.body.believe(name), ())
        return address

    def __str__(self) -> str:
        body = self.transport.body.write(Parts(self.host, self.port, self.path, self.resource))
        pairs = [f"{name}={encode(value, QUERY_SAFE)}" for name, value in self._shown_options()]
        query = "&".join([*_written_resource(self), *pairs] if self.resource else pairs)
        return f"{self.scheme}:{body}?{query}" if query else f"{self.scheme}:{body}"

    def __repr__(self) -> str:
        fields = {name: getattr(self, name) for name in Address.fields} | {"options": self._shown_options()}
        return f"Address({', '.join(f'{name}={value!r}' for name, value in fields.items())})"

    def _shown_options(self) -> tuple[tuple[str, str], ...]:
        """The options without the passwords of proxies."""
        if not self.options:
            return ()
        return tuple((name, hide_passwords(value) if name == "proxy" else value) for name, value in self.options)

    @property
    def transport(self) -> Scheme:
        """What the scheme stands for: families and kind of socket."""
        return find_scheme(self.scheme)

    def replace(self, **changes: Any) -> Address:
        """This address with other fields, checked as a new one is.

        Raises:
            AddressError: the result is not an address.
        """
        return replace(self, **changes)

    def with_port(self, port: int) -> Address:
        """This address with another port, as when a free one was asked for and the system has chosen.

        Raises:
            AddressError: not a port, or the scheme has none.
        """
        return self.replace(port=port)

    def without_options(self) -> Address:
        """This address as a peer knows it: how we hold the conversation is left out."""
        return self.replace(options=()) if self.options else self

    @property
    def is_numeric_host(self) -> bool:
        """Whether the host is a number, so that nothing is to be looked up."""
        return host_family(self.host) != ""

    @property
    def is_placeholder_host(self) -> bool:
        """Whether the host stands for the machine's own name."""
        return self.host == PLACEHOLDER

    @property
    def is_given(self) -> bool:
        """Whether the other end is here already, or is made here: a descriptor, standard input and output, a child."""
        return not self.transport.families

    @property
    def is_local_path(self) -> bool:
        """Whether the address is a file: something to be made, given a mode, and removed."""
        return self.path != "" and self._is_unix and not self.is_abstract

    @property
    def is_abstract(self) -> bool:
        """Whether the address is in Linux's abstract namespace (unix(7)), where no file is."""
        return self.path.startswith("@") and self._is_unix

    @property
    def _is_unix(self) -> bool:
        return self.transport.families == ("AF_UNIX",)

    @property
    def socket_path(self) -> bytes:
        """The path as `bind` and `connect` of a UNIX socket take it; an abstract name begins with a zero byte."""
        return socket_path(self.path)


def _constant_names(family: Any, kind: Any) -> tuple[str, str]:
    """The names of plain numbers, which the sockets of gevent have in place of `socket`'s constants."""
    import socket

    try:
        flags = getattr(socket, "SOCK_NONBLOCK", 0) | getattr(socket, "SOCK_CLOEXEC", 0)
        return socket.AddressFamily(family).name, socket.SocketKind(kind & ~flags).name
    except (TypeError, ValueError):
        return str(family), str(kind)


def _set_fields(address: Address, scheme: str, parts: Parts, options: tuple[tuple[str, str], ...]) -> None:
    """Fills an address that is being made; afterwards it is frozen."""
    set_field = object.__setattr__
    set_field(address, "scheme", scheme)
    set_field(address, "host", parts.host)
    set_field(address, "port", parts.port)
    set_field(address, "path", parts.path)
    set_field(address, "options", options)
    set_field(address, "resource", parts.resource)


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _parse(text: str, default_scheme: str) -> Address:
    if control := _CONTROL.search(text):
        raise AddressError(f"{quote(control[0])} is a control character; allowed is its escape in a path, as %0A")
    if text[:1] == " " != text:
        raise AddressError(f"it begins with a space; did you mean {quote(text.strip())}?")
    place, query = split_command_query(text) or _split_query(text)
    name, body = _split_scheme(place, default_scheme)
    scheme = find_scheme(name)
    parts = scheme.body.read(body)
    resource = parts.resource
    if scheme.is_websocket:
        resource, query = _split_resource(resource, query, has_path=name != "ws+unix")
    return Address(name, parts.host, parts.port, parts.path, _read_query(query) if query else (), resource)


def _split_resource(path: str, query: str, *, has_path: bool) -> tuple[str, str]:
    """The path and query of a WebSocket's request, and the options: those parameters that bear the name of one.

    A parameter of the request with such a name is written with an escape in it (`%6Dode=1`).
    """
    request: list[str] = []
    options: list[str] = []
    for pair in query.split("&") if query else ():
        name, mark, value = pair.partition("=")
        if not has_path and name == "path":
            path = decode_text(value)
        else:
            (options if mark and name in Options.fields else request).append(pair)
    return "?".join([path, "&".join(request)] if request else [path]), "&".join(options)


def _written_resource(address: Address) -> list[str]:
    """The parameters that a resource is, in an address; its path stands before them but in `ws+unix`."""
    path, mark, query = address.resource.partition("?")
    pairs = [f"path={encode(path, QUERY_SAFE)}"] if address.path else []
    if mark:
        pairs += map(_escaped_name, query.split("&"))
    return pairs


def _escaped_name(pair: str) -> str:
    """A parameter of the request, which is not to be taken for an option."""
    name = pair.partition("=")[0]
    return f"%{ord(pair[0]):02X}{pair[1:]}" if name in Options.fields or name == "path" else pair


_SECRET = r"(?i)\bproxy=[^&]*|=[^&]*(?::|%3A)[^&]*(?:@|%40)[^&]*"
"""The value of `proxy`, and of a misspelled option that looks like one: it may hold a password."""


def _without_secrets(text: str) -> str:
    return re.sub(_SECRET, lambda found: f"{found[0].partition('=')[0]}=***", text) if "=" in text else text


def _split_query(text: str) -> tuple[str, str]:
    _, mark, fragment = text.partition("#")
    if mark:
        raise AddressError(f"the fragment {quote(mark + fragment)} means nothing here; allowed is '#' itself as %23")
    place, mark, query = text.partition("?")
    if mark and not query:
        _read_query(query)  # which says what is missing
    return place, query


def _split_scheme(place: str, default_scheme: str) -> tuple[str, str]:
    """The scheme, and what follows its colon; a short form gets the scheme that it leaves out."""
    if place == "-":
        return "stdio", ""
    match = _SCHEME.fullmatch(place)
    if match:
        name, rest = match[1].lower(), match[2]  # RFC 3986, 3.1: a scheme's case does not matter
        bare = is_bare(name)
        if bare or rest.startswith("//"):
            return name, rest
        if rest.startswith("/") or (bare is False and not rest.isdecimal()):  # "tls:443" is a host named tls
            find_scheme(name)
            near = f"{name}://{rest.lstrip('/')}"
            raise AddressError(f"{quote(name + ':')} is not followed by '//'; did you mean {quote(near)}?")
    return _short_form(place, default_scheme)


def _short_form(place: str, default_scheme: str) -> tuple[str, str]:
    slashes = "//" if place.startswith(("/", "@")) else ""
    if is_bare(default_scheme):
        return default_scheme, slashes + place
    if slashes or place.startswith(("./", "../")):
        return "unix", slashes + place
    return default_scheme, f"//{place}"


def _read_query(query: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if not name or not value:
            raise AddressError(f"{quote(pair)} is not an option with its value; allowed is name=value, joined by '&'")
        pairs.append((decode_text(name), decode_text(value)))
    return tuple(pairs)


def _normal_options(options: tuple[tuple[str, str], ...] | Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    normal: dict[str, str] = {}
    for name, value in options.items() if isinstance(options, Mapping) else options:
        if name in normal:
            raise AddressError(f"the option {quote(name)} stands twice; allowed is once")
        try:
            normal[name] = format_option(name, value)
        except OptionError as error:
            raise AddressError(str(error)) from error
        to_bytes(normal[name])  # what cannot be written is refused now, not when the address is printed
    return tuple(sorted(normal.items()))
