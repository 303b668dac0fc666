"""The options of connections and servers: frozen values, each with its scope, type, default and the default's reason.

To add an option, add its field to `Options`: addresses, the docs and `--help` are derived from the fields.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from socketkit.config.bind_address import SOURCE
from socketkit.config.option_types import (
    MODE,
    NAME,
    NETWORKS,
    SWITCH,
    TEXT,
    OptionType,
    choice_kind,
    count_kind,
    duration_kind,
    or_none,
    size_kind,
)
from socketkit.config.proxy import PROXIES, Proxies
from socketkit.config.quoting import quote, suggest
from socketkit.config.retry import RETRY, Retry
from socketkit.config.schemes import Scheme
from socketkit.config.scopes import (
    ACCEPTING,
    ALL,
    CLIENT,
    CONNECTION_LISTENER,
    DATAGRAM,
    DATAGRAM_SERVER,
    ENDPOINT,
    EVERYWHERE,
    INTERNET,
    INTERNET_BOUND,
    INTERNET_CLIENT,
    INTERNET_PEERS,
    IPV6_LISTENER,
    LISTENER,
    RAW,
    SERVER,
    SOCKET,
    STREAM,
    STREAM_CLIENT,
    STREAM_LISTENER,
    TCP,
    TCP_CLIENT,
    TLS_LISTENER,
    TLS_STREAM,
    UNIX_LISTENER,
    WEBSOCKET,
    WEBSOCKET_CLIENT,
    WEBSOCKET_LISTENER,
    Located,
    Scope,
)
from socketkit.config.tls_settings import PIN_KIND, TLS, TLS_KIND
from socketkit.config.websocket_settings import HEADERS, ORIGIN, ORIGINS, SUBPROTOCOLS, WEBSOCKET_KIND, WebSocket
from socketkit.errors import OptionError
from socketkit.values import Value, field

__all__ = ["Description", "Options", "check_addresses", "check_shared", "check_verb", "format_option", "parse_option"]


def _option(scope: Scope, default: object, kind: OptionType, sentence: str) -> Any:
    return field(default, scope=scope, kind=kind, sentence=sentence)


class Description(Value):
    """One option as the docs and `--help` show it; all are texts. `scope` says where it acts."""

    name: str
    default: str
    kind: str
    scope: str
    sentence: str


class Options(Value):
    """Every option with its value. `Options.make` reads and checks; the constructor takes checked native values.

    Each sentence gives the meaning, the unit, and the reason of the default.
    """

    connect_timeout: float | None = _option(
        ENDPOINT,
        10.0,
        or_none(duration_kind()),
        "How long opening may take, over all addresses of the name; 10s as ncat has it, long enough for two lost SYNs; "
        "none: as long as the system tries, often two minutes.",
    )
    happy_eyeballs_delay: float | None = _option(
        INTERNET_CLIENT,
        0.25,
        or_none(duration_kind()),
        "How long one address of a name has to answer before the next is tried beside it; 250ms as RFC 8305 has it; "
        "0s: all at once; none: one after another.",
    )
    retry: Retry | None = _option(
        CLIENT,
        None,
        or_none(RETRY),
        "How often to try again to connect: a count or forever, and after which pauses, as in "
        "5,first=100ms,maximum=10s; none: not at all, the program decides.",
    )
    close_timeout: float = _option(
        ALL,
        5.0,
        duration_kind(),
        "How long closing may wait to send what is left; 5s: a peer that reads at all has read it by then.",
    )
    grace: float = _option(
        SERVER,
        10.0,
        duration_kind(),
        "How long the handlers of a server that stops may go on; 10s, as a container has.",
    )
    lame_duck: float = _option(
        SERVER,
        0.0,
        duration_kind(),
        "How long a server still accepts connections after SIGINT or SIGTERM, while its readiness is down and load "
        "balancers turn away; 0s: not at all, as there may be no load balancer.",
    )
    high_water: int = _option(
        ALL,
        64 * 1024,
        size_kind(),
        "Bytes that may be queued before `send` waits; 64KiB, as asyncio: enough for a full pipe.",
    )
    receive_size: int = _option(
        EVERYWHERE,
        256 * 1024,
        size_kind(minimum=1, maximum=2**30),
        "Bytes that one recv(2) may return; 256KiB: more gains no speed, less costs system calls.",
    )
    send_proxy: str | None = _option(
        STREAM_CLIENT,
        None,
        or_none(choice_kind("v1", "v2")),
        "Send a PROXY header of this version first, to a server that accepts it; none: no header.",
    )
    proxy: Proxies | None = _option(
        TCP_CLIENT,
        None,
        or_none(PROXIES),
        "Connect through these proxies, nearest first: socks5, socks4a or http, as socks5://user:password@host:1080, "
        "joined by commas; env: as ALL_PROXY, HTTPS_PROXY and NO_PROXY say; none: directly.",
    )
    nodelay: bool = _option(
        TCP,
        True,
        SWITCH,
        "Send small messages at once (TCP_NODELAY); yes: messages are batched already, Nagle would only delay.",
    )
    keepalive: bool = _option(
        TCP, True, SWITCH, "Probe an idle peer (SO_KEEPALIVE); yes: else a lost peer is never noticed."
    )
    keepalive_idle: float = _option(  # tcp(7): whole seconds, at most MAX_TCP_KEEPIDLE = 32767
        TCP,
        60.0,
        duration_kind(minimum=1, maximum=32767),
        "Idle time before the first probe, in whole seconds; 60s: most NAT tables and firewalls keep an entry longer.",
    )
    keepalive_interval: float = _option(  # MAX_TCP_KEEPINTVL = 32767
        TCP,
        10.0,
        duration_kind(minimum=1, maximum=32767),
        "Time between probes, in whole seconds; 10s: one or two lost packets do not end a connection.",
    )
    keepalive_count: int = _option(  # MAX_TCP_KEEPCNT = 127
        TCP,
        6,
        count_kind(minimum=1, maximum=127),
        "Unanswered probes before the peer counts as lost; 6: two minutes in all.",
    )
    backlog: int | None = _option(
        CONNECTION_LISTENER,
        None,
        or_none(count_kind()),
        "Connections that may wait to be accepted; none: as many as the system allows (somaxconn).",
    )
    takeover: str | None = _option(
        SERVER,
        None,
        or_none(NAME),
        "A UNIX socket at which a new process of the same program takes over the listening sockets, while the old one "
        "drains; none: a restart refuses connections for a moment.",
    )
    reuse_address: bool | None = _option(
        INTERNET_BOUND,
        None,
        or_none(SWITCH),
        "Bind to an address with connections in TIME-WAIT (SO_REUSEADDR); none: yes on POSIX, where it is safe.",
    )
    reuse_port: bool = _option(
        INTERNET_BOUND,
        False,
        SWITCH,
        "Let several servers share the port (SO_REUSEPORT); no: a second server is mostly a mistake.",
    )
    mode: int | None = _option(
        UNIX_LISTENER,
        None,
        or_none(MODE),
        "File mode of a UNIX socket, octal, from its creation on; none: as the umask says.",
    )
    v6only: bool = _option(
        IPV6_LISTENER,
        True,
        SWITCH,
        "Whether an IPv6 socket accepts IPv6 alone (IPV6_V6ONLY); yes: tcp:// has a socket for each family; no: "
        "one IPv6 socket for both, where the address means every interface.",
    )
    bind: str | None = _option(
        INTERNET_CLIENT,
        None,
        or_none(SOURCE),
        "Local address, a number with or without a port (10.0.0.1, [::1]:5000, :5000); none: as the routes say.",
    )
    device: str | None = _option(
        INTERNET,
        None,
        or_none(NAME),
        "Interface for all packets, as eth0 (SO_BINDTODEVICE, Linux); none: as the routes say.",
    )
    mark: int | None = _option(
        INTERNET,
        None,
        or_none(count_kind(maximum=2**32 - 1)),
        "Mark on each packet for firewall and routes (SO_MARK, Linux; needs CAP_NET_ADMIN); none: no mark.",
    )
    ttl: int | None = _option(
        INTERNET,
        None,
        or_none(count_kind(minimum=1, maximum=255)),
        "Routers that a packet may pass (IP_TTL, IPV6_UNICAST_HOPS); none: the system's default, mostly 64.",
    )
    tos: int | None = _option(
        INTERNET,
        None,
        or_none(count_kind(maximum=255)),
        "Traffic class of each packet, DSCP and ECN (IP_TOS, IPV6_TCLASS); none: 0, the system's default.",
    )
    user_timeout: float | None = _option(
        TCP,
        None,
        or_none(duration_kind(minimum=0.001, maximum=2_147_483)),
        "How long sent data may stay unacknowledged before the peer counts as lost (TCP_USER_TIMEOUT); none: as "
        "the system retries, a quarter of an hour.",
    )
    send_buffer: int | None = _option(
        SOCKET,
        None,
        or_none(size_kind(minimum=1, maximum=2**30)),
        "The system's send buffer in bytes (SO_SNDBUF; Linux doubles it, and cuts it at wmem_max); none: it "
        "grows as needed.",
    )
    receive_buffer: int | None = _option(
        SOCKET,
        None,
        or_none(size_kind(minimum=1, maximum=2**30)),
        "The system's receive buffer in bytes (SO_RCVBUF; Linux doubles it, and cuts it at rmem_max); none: it grows "
        "as needed.",
    )
    max_connections: int = _option(
        ACCEPTING,
        10_000,
        count_kind(minimum=1),
        "Connections at a time; 10000: more are treated as `overload` says.",
    )
    overload: str = _option(
        ACCEPTING,
        "wait",
        choice_kind("wait", "reject"),
        "What happens to connections beyond `max_connections` and `accept_rate`; wait: they wait in the backlog, not "
        "in memory; reject: they are accepted and reset at once, so that the clients try elsewhere.",
    )
    max_per_peer: int | None = _option(
        INTERNET_PEERS,
        None,
        or_none(count_kind(minimum=1)),
        "Connections of one peer's address at a time (IPv6: of its /64, which one machine has), the next is reset; "
        "none: clients behind a NAT or a proxy share one address.",
    )
    accept_rate: int | None = _option(
        ACCEPTING,
        None,
        or_none(count_kind(minimum=1)),
        "Connections a second that are accepted, after a burst of one second's worth; none: no limit.",
    )
    allow: tuple[str, ...] | None = _option(
        LISTENER,
        None,
        or_none(NETWORKS),
        "Networks whose connections are accepted, others are reset before a byte is read; none: all.",
    )
    deny: tuple[str, ...] | None = _option(
        LISTENER,
        None,
        or_none(NETWORKS),
        "Networks whose connections are reset, whatever `allow` says; none: no network.",
    )
    accept_proxy: tuple[str, ...] | None = _option(
        STREAM_LISTENER,
        None,
        or_none(NETWORKS),
        "Networks of the proxies that may connect, each connection with a PROXY header first; all others are reset; "
        "none: no header is read, as it must not be guessed (proxy-protocol.txt, 2).",
    )
    handshake_timeout: float | None = _option(
        STREAM,
        10.0,
        or_none(duration_kind()),
        "How long a peer may take, in all, for what comes before the first message (a PROXY header, TLS); 10s: three "
        "lost packets; none: no limit.",
    )
    idle_timeout: float | None = _option(
        ALL,
        None,
        or_none(duration_kind(minimum=0.001)),
        "How long a connection stays open on which the peer neither sends a byte nor takes a queued one; none: no "
        "limit, as keepalive finds a lost peer; a datagram server's session ends after 60s.",
    )
    send_timeout: float | None = _option(
        ALL,
        None,
        or_none(duration_kind(minimum=0.001)),
        "How long the peer may take nothing of what is unsent; then sending raises, and nothing can be sent any more; "
        "none: no limit.",
    )
    interface: str | None = _option(
        DATAGRAM,
        None,
        or_none(NAME),
        "Where a multicast group is joined or sent to: name, number or address; none: as the routes say.",
    )
    multicast_loop: bool = _option(
        DATAGRAM,
        True,
        SWITCH,
        "Deliver what is sent to a group to members on this machine too; yes, as every system has it.",
    )
    broadcast: bool = _option(
        DATAGRAM,
        False,
        SWITCH,
        "Allow sending to a broadcast address (SO_BROADCAST); no: to reach every machine is rarely meant.",
    )
    max_queued: int = _option(
        DATAGRAM_SERVER,
        256,
        count_kind(minimum=1),
        "Datagrams of one session that may wait for its handler; 256, as a socket of its own would hold; more are "
        "dropped and counted, or wait at a UNIX sender.",
    )
    max_queued_size: int = _option(
        DATAGRAM_SERVER,
        256 * 1024,
        size_kind(minimum=1),
        "The same in bytes; 256KiB; all sessions of an address together have 64 times as much.",
    )
    protocol: str | None = _option(
        RAW,
        None,
        or_none(NAME),
        "Protocol of a raw socket (ip://), by name or number, as icmp; ip:// needs it.",
    )
    tls: bool | TLS = _option(
        TLS_STREAM,
        False,
        TLS_KIND,
        "Speak TLS at this address (a program may give a `TLS`); no: unless it is tls://.",
    )
    ca: str | None = _option(
        TLS_STREAM,
        None,
        or_none(NAME),
        "File or folder of the trusted authorities; none: those of the system.",
    )
    cert: str | None = _option(
        TLS_STREAM,
        None,
        or_none(NAME),
        "File of our certificate with its chain (PEM); none: clients need none, servers do.",
    )
    key: str | None = _option(
        TLS_STREAM, None, or_none(NAME), "File of its private key; none: it is in the file of the certificate."
    )
    verify: bool | None = _option(
        TLS_STREAM,
        None,
        or_none(SWITCH),
        "Check the peer's certificate, and a server's name; none: yes, but for a pin without ca, which decides alone.",
    )
    server_name: str | None = _option(
        TLS_STREAM,
        None,
        or_none(NAME),
        "The name that the server's certificate must have; none: the host of the address.",
    )
    alpn: str | None = _option(
        TLS_STREAM,
        None,
        or_none(NAME),
        "Application protocols to agree on, joined by commas, best first; none: no ALPN.",
    )
    require_client_cert: bool = _option(
        TLS_LISTENER,
        False,
        SWITCH,
        "Accept only clients with a certificate of `ca`; no: clients mostly have none.",
    )
    pin: tuple[str, ...] | None = _option(
        TLS_STREAM,
        None,
        PIN_KIND,
        "The peer's key must have this SHA-256, as sha256:HEX; none: any certified key.",
    )
    self_signed: bool = _option(
        TLS_LISTENER,
        False,
        SWITCH,
        "Make a certificate at the start, for clients that pin it; no: no authority certifies it.",
    )
    websocket: bool | WebSocket = _option(
        STREAM,
        False,
        WEBSOCKET_KIND,
        "Speak WebSocket at this address (RFC 6455); no: unless it is ws://, wss:// or ws+unix://.",
    )
    subprotocols: tuple[str, ...] = _option(
        WEBSOCKET,
        (),
        SUBPROTOCOLS,
        "Subprotocols to agree on, joined by commas, best first; none: none is asked for, or agreed on.",
    )
    origin: str | None = _option(
        WEBSOCKET_CLIENT,
        None,
        or_none(ORIGIN),
        "The web page's origin that a client sends, as https://example.com; none: no page asks, so no Origin is sent.",
    )
    origins: tuple[str, ...] | None = _option(
        WEBSOCKET_LISTENER,
        None,
        or_none(ORIGINS),
        "Origins of the web pages that may connect, joined by commas, or * for all; none: no Origin, or one with the "
        "host that was asked for, else any page could use its reader's cookies here.",
    )
    headers: tuple[tuple[str, str], ...] = _option(
        WEBSOCKET_CLIENT,
        (),
        HEADERS,
        "Further header fields of the request, as `Name: value`, joined by |; none: those that WebSocket needs.",
    )
    compression: str = _option(
        WEBSOCKET,
        "deflate",
        choice_kind("deflate", "none"),
        "Compression of messages where the peer agrees (RFC 7692); deflate: as browsers do; none: no compression, "
        "which saves up to 300 KB of memory for each connection.",
    )
    ping_interval: float | None = _option(
        WEBSOCKET,
        20.0,
        or_none(duration_kind(minimum=0.001)),
        "How long a peer may be silent, while we wait for it, before it is sent a ping; 20s: proxies mostly cut after "
        "60s; none: no pings.",
    )
    ping_timeout: float | None = _option(
        WEBSOCKET,
        20.0,
        or_none(duration_kind(minimum=0.001)),
        "How long a peer may be silent after a ping before the connection counts as lost; 20s: as websockets has it; "
        "none: no limit.",
    )
    max_size: int = _option(
        WEBSOCKET,
        1024 * 1024,
        size_kind(minimum=1, maximum=2**30),
        "Bytes of the largest message that is received, after compression is undone; 1MiB: as websockets has it.",
    )
    framing: str | None = _option(
        EVERYWHERE,
        None,
        or_none(TEXT),
        "How messages lie in the bytes, by name; none: what the program says, else chunks.",
    )
    engine: str | None = _option(
        EVERYWHERE,
        None,
        or_none(TEXT),
        "Which engine waits, by name; none: the one that runs, else the best that is installed.",
    )

    @classmethod
    def make(cls, *sources: Mapping[str, object], **keywords: object) -> Options:
        """Reads options from any number of sources: defaults, a file, an address, keywords.

        Args:
            sources: name to value, as text or natively; a later source wins over an earlier one.
            keywords: the same; they win over all sources.

        Returns:
            Every option; one that no source names has its default.

        Raises:
            OptionError: an unknown name or a wrong value, also where another source wins over it.
        """
        values: dict[str, Any] = {}
        for source in (*sources, keywords):
            for name, value in source.items():
                values[name] = parse_option(name, value)
        return cls(**values)

    @classmethod
    def describe(cls) -> tuple[Description, ...]:
        """Every option in the order of the fields, for docs and `--help`."""
        return tuple(
            Description(
                name=name,
                default=entry.facts["kind"].format(entry.default),
                kind=entry.facts["kind"].name,
                scope=entry.facts["scope"].name,
                sentence=entry.facts["sentence"],
            )
            for name, entry in cls.fields.items()
        )


_KINDS: dict[str, OptionType] = {name: entry.facts["kind"] for name, entry in Options.fields.items()}


_SCOPES: dict[str, Scope] = {name: entry.facts["scope"] for name, entry in Options.fields.items()}

_SHARED = frozenset({"accept_rate", "engine", "grace", "lame_duck", "max_connections", "overload", "takeover"})
"""Options of a server as a whole; those of its first address are used."""


def check_verb(given: Mapping[str, object], verb: str) -> None:
    """Refuses options that have no effect on a verb; one with its default value is let through.

    Args:
        given: checked names and values, as text or natively.
        verb: the public function: connect, serve, listen, pair or open_datagrams.

    Raises:
        OptionError: it names the verbs that the option acts on.
    """
    for name, value in given.items():
        if not _is_default(name, value):
            _SCOPES[name].check_verb(name, verb)


def check_addresses(
    given: Mapping[str, object], addresses: Collection[Located], *, beside: Mapping[str, object] | None = None
) -> None:
    """Refuses options that have no effect at any of these addresses; one with its default value is let through.

    Args:
        given: checked names and values, as text or natively.
        addresses: the addresses.
        beside: all options that act there, these among them; None: these alone.

    Raises:
        OptionError: it names the addresses at which the option acts.
    """
    for name, value in given.items():
        if not _is_default(name, value):
            scope = _SCOPES[name]
            others = given if beside is None else beside
            is_beside = scope.unless in others and not _is_default(scope.unless, others[scope.unless])
            scope.check_addresses(name, addresses, (scope.unless,) if is_beside else ())


def check_shared(given: Mapping[str, object], first: Options, scheme: Scheme) -> None:
    """Refuses an option of a later address of a server that only the whole server can have.

    Args:
        given: the options of the later address.
        first: those of the first address, which the server uses.
        scheme: of the later address. Each datagram address has a `max_connections` of its own.

    Raises:
        OptionError: the option differs from that of the first address.
    """
    for name, value in given.items():
        if name not in _SHARED or (name == "max_connections" and scheme.is_datagram):
            continue
        if parse_option(name, value) != getattr(first, name):
            raise OptionError(f"{name}: it is for the whole server; give it as a keyword, or on the first address")


def _is_default(name: str, value: object) -> bool:
    return bool(parse_option(name, value) == Options.fields[name].default)


def parse_option(name: str, value: object) -> Any:
    """Reads one option's value, given as text or natively.

    Raises:
        OptionError: no such option (the nearest name is suggested), or not a value of its kind.
    """
    return _kind(name).parse(value, name=name)


def format_option(name: str, value: object) -> str:
    """Writes one option's value as canonical text; what `parse_option` reads as the same value is written the same.

    Raises:
        OptionError: as for `parse_option`.
    """
    return _kind(name).format(parse_option(name, value))


def _kind(name: str) -> OptionType:
    kind = _KINDS.get(name)
    if kind is None:
        near = suggest(name, _KINDS)
        raise OptionError(f"unknown option {quote(name)}{near}; allowed are {', '.join(sorted(_KINDS))}")
    return kind
