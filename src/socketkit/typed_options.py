"""The options of each verb as type checkers and editors see them. Made from `config.options` by `make docs`.

Wherever a value may be given as text, as in an address, `str` is among its types.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, TypeAlias, TypedDict

from socketkit.config.proxy import Proxy
from socketkit.config.retry import Retry
from socketkit.config.tls_settings import TLS
from socketkit.engines.engine import Engine
from socketkit.events import Observer

__all__ = [
    "ConnectOptions",
    "DatagramsOptions",
    "EngineName",
    "ListenOptions",
    "Networks",
    "PairOptions",
    "ServeOptions",
    "Switch",
    "Texts",
]

EngineName: TypeAlias = Literal["asyncio", "uvloop", "trio", "epoll", "kqueue", "poll", "select", "blocking"]

Switch: TypeAlias = bool | Literal[
    "yes", "no", "true", "false", "on", "off", "1", "0", 1, 0
]  # fmt: skip
Texts: TypeAlias = Collection[str]
Networks: TypeAlias = str | Collection[str | IPv4Address | IPv4Network | IPv6Address | IPv6Network]


class ConnectOptions(TypedDict, total=False):
    """What `connect` takes, beside its framing."""

    observer: Observer | None
    connect_timeout: float | str | None
    happy_eyeballs_delay: float | str | None
    retry: Retry | int | str | None
    close_timeout: float | str
    high_water: int | str
    receive_size: int | str
    send_proxy: Literal["v1", "v2"] | Literal["none"] | None
    proxy: str | Proxy | list[str | Proxy] | tuple[str | Proxy, ...] | None
    nodelay: Switch
    keepalive: Switch
    keepalive_idle: float | str
    keepalive_interval: float | str
    keepalive_count: int | str
    bind: str | None
    device: str | None
    mark: int | str | None
    ttl: int | str | None
    tos: int | str | None
    user_timeout: float | str | None
    send_buffer: int | str | None
    receive_buffer: int | str | None
    handshake_timeout: float | str | None
    idle_timeout: float | str | None
    send_timeout: float | str | None
    interface: str | None
    multicast_loop: Switch
    broadcast: Switch
    protocol: str | None
    tls: TLS | Switch
    ca: str | None
    cert: str | None
    key: str | None
    verify: Switch | Literal["none"] | None
    server_name: str | None
    alpn: str | None
    pin: str | Texts | None
    websocket: Switch
    subprotocols: str | Texts
    origin: str | None
    headers: str | Mapping[str, str] | Collection[str | tuple[str, str]] | None
    compression: Literal["deflate", "none"]
    ping_interval: float | str | None
    ping_timeout: float | str | None
    max_size: int | str
    engine: EngineName | Engine | Literal["none"] | None


class ServeOptions(TypedDict, total=False):
    """What `serve` takes, beside its framing."""

    observer: Observer | None
    connect_timeout: float | str | None
    close_timeout: float | str
    grace: float | str
    lame_duck: float | str
    high_water: int | str
    receive_size: int | str
    nodelay: Switch
    keepalive: Switch
    keepalive_idle: float | str
    keepalive_interval: float | str
    keepalive_count: int | str
    backlog: int | str | None
    takeover: str | None
    reuse_address: Switch | Literal["none"] | None
    reuse_port: Switch
    mode: int | str | None
    v6only: Switch
    device: str | None
    mark: int | str | None
    ttl: int | str | None
    tos: int | str | None
    user_timeout: float | str | None
    send_buffer: int | str | None
    receive_buffer: int | str | None
    max_connections: int | str
    overload: Literal["wait", "reject"]
    max_per_peer: int | str | None
    accept_rate: int | str | None
    allow: Networks | None
    deny: Networks | None
    accept_proxy: Networks | None
    handshake_timeout: float | str | None
    idle_timeout: float | str | None
    send_timeout: float | str | None
    interface: str | None
    multicast_loop: Switch
    broadcast: Switch
    max_queued: int | str
    max_queued_size: int | str
    protocol: str | None
    tls: TLS | Switch
    ca: str | None
    cert: str | None
    key: str | None
    verify: Switch | Literal["none"] | None
    server_name: str | None
    alpn: str | None
    require_client_cert: Switch
    pin: str | Texts | None
    self_signed: Switch
    websocket: Switch
    subprotocols: str | Texts
    origins: str | Texts | None
    compression: Literal["deflate", "none"]
    ping_interval: float | str | None
    ping_timeout: float | str | None
    max_size: int | str
    engine: EngineName | Engine | Literal["none"] | None


class ListenOptions(TypedDict, total=False):
    """What `listen` takes, beside its framing."""

    observer: Observer | None
    connect_timeout: float | str | None
    close_timeout: float | str
    high_water: int | str
    receive_size: int | str
    nodelay: Switch
    keepalive: Switch
    keepalive_idle: float | str
    keepalive_interval: float | str
    keepalive_count: int | str
    backlog: int | str | None
    reuse_address: Switch | Literal["none"] | None
    reuse_port: Switch
    mode: int | str | None
    v6only: Switch
    device: str | None
    mark: int | str | None
    ttl: int | str | None
    tos: int | str | None
    user_timeout: float | str | None
    send_buffer: int | str | None
    receive_buffer: int | str | None
    max_connections: int | str
    overload: Literal["wait", "reject"]
    max_per_peer: int | str | None
    accept_rate: int | str | None
    allow: Networks | None
    deny: Networks | None
    accept_proxy: Networks | None
    handshake_timeout: float | str | None
    idle_timeout: float | str | None
    send_timeout: float | str | None
    interface: str | None
    multicast_loop: Switch
    broadcast: Switch
    max_queued: int | str
    max_queued_size: int | str
    protocol: str | None
    tls: TLS | Switch
    ca: str | None
    cert: str | None
    key: str | None
    verify: Switch | Literal["none"] | None
    server_name: str | None
    alpn: str | None
    require_client_cert: Switch
    pin: str | Texts | None
    self_signed: Switch
    websocket: Switch
    subprotocols: str | Texts
    origins: str | Texts | None
    compression: Literal["deflate", "none"]
    ping_interval: float | str | None
    ping_timeout: float | str | None
    max_size: int | str
    engine: EngineName | Engine | Literal["none"] | None


class PairOptions(TypedDict, total=False):
    """What `pair` takes, beside its framing."""

    observer: Observer | None
    close_timeout: float | str
    high_water: int | str
    receive_size: int | str
    handshake_timeout: float | str | None
    idle_timeout: float | str | None
    send_timeout: float | str | None
    tls: TLS | Switch
    ca: str | None
    cert: str | None
    key: str | None
    verify: Switch | Literal["none"] | None
    server_name: str | None
    alpn: str | None
    require_client_cert: Switch
    pin: str | Texts | None
    self_signed: Switch
    websocket: Switch
    engine: EngineName | Engine | Literal["none"] | None


class DatagramsOptions(TypedDict, total=False):
    """What `open_datagrams` takes, beside its framing."""

    observer: Observer | None
    connect_timeout: float | str | None
    receive_size: int | str
    reuse_address: Switch | Literal["none"] | None
    reuse_port: Switch
    mode: int | str | None
    device: str | None
    mark: int | str | None
    ttl: int | str | None
    tos: int | str | None
    send_buffer: int | str | None
    receive_buffer: int | str | None
    interface: str | None
    multicast_loop: Switch
    broadcast: Switch
    protocol: str | None
    engine: EngineName | Engine | Literal["none"] | None
