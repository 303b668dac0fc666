"""Ask the proxies of a chain, one after another, for a connection to the next.

It works over a socket that is connected to the first of them.
"""

from __future__ import annotations

import errno
import os
import socket

from socketkit.client.proxies.exchange import Exchange, ProxyReplyError, Request
from socketkit.config.address import Address
from socketkit.config.host import ascii_host
from socketkit.config.options import Options
from socketkit.config.proxy import Proxy
from socketkit.endpoint import is_secure
from socketkit.engines.engine import Engine
from socketkit.errors import (
    Attempt,
    BrokenError,
    ConnectError,
    DeadlineError,
    EndOfStream,
    OpenError,
    OptionError,
    ResolveError,
)
from socketkit.sockets.resolver import Lookup, resolve
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import Stream

__all__ = ["chain_for", "connect_through", "unreached"]


def chain_for(address: Address, options: Options) -> tuple[Proxy, ...]:
    """The proxies through which an address is dialled; empty: directly.

    Raises:
        OptionError: no proxy can connect to this address, or the environment names none that can be read.
    """
    proxies = options.proxy
    is_tcp = address.transport.kind == "SOCK_STREAM" and address.port is not None and "vsock" not in address.scheme
    if proxies is None or (proxies == "env" and not is_tcp):
        return ()
    if not is_tcp:
        raise OptionError(f"proxy: it has no effect at {address.scheme}:; it acts at TCP, as tcp:// and tls://")
    if isinstance(proxies, str):
        from socketkit.client.proxies.environment import proxies_from_environment

        proxies = proxies_from_environment(os.environ, address, is_secure=is_secure(address, options))
    if proxies and "%" in address.host:
        raise OptionError(f"proxy: {address.host} has a zone, which is valid on this machine only")
    if proxies and len(address.transport.families) == 1 and not address.is_numeric_host:
        raise OptionError(
            f"proxy: the proxy resolves {address.host or 'localhost'}, and cannot be told the family of "
            f"{address.scheme}:; take {'tls' if address.transport.is_secure else 'tcp'}://, or a number"
        )
    return proxies


async def connect_through(
    engine: Engine,
    stream: Stream,
    chain: tuple[Proxy, ...],
    address: Address,
    options: Options,
    *,
    lookup: Lookup,
    deadline: float | None,
) -> Stream:
    """Ask each proxy for a connection to the next, the last one for the address.

    Args:
        engine: where to wait.
        stream: connected to the first proxy.
        chain: at least one proxy.
        address: where to, in the end.
        options: `connect_timeout`, for the error.
        lookup: resolves a name where the protocol takes numbers only (socks4).
        deadline: of everything.

    Returns:
        The same stream; its peer is the address now. Nothing of what the peer has sent was received.

    Raises:
        ConnectError: a proxy refused, closed the connection, or sent something else than a reply.
        ResolveError: with socks4, the name is unknown.
        DeadlineError: the deadline came first.

    Cancellation: the stream is aborted.
    """
    assert isinstance(stream, SocketStream)
    hops = [(proxy.host, proxy.port, str(proxy)) for proxy in chain[1:]]
    host = socket.gethostname() if address.is_placeholder_host else address.host or "localhost"
    hops.append((host, address.port or 0, str(address)))
    hide = getattr(stream.socket, "hide_data", lambda is_hidden: None)  # a traced socket
    hide(True)
    try:
        for proxy, (name, port, place) in zip(chain, hops, strict=True):
            try:
                name = await _name_for(engine, proxy, name, lookup, deadline)
                await _run(stream, _exchange(proxy, name, port), deadline)
            except ProxyReplyError as error:
                what = "" if place == str(address) else f" (asked for {place})"
                raise refusal(address, f"{_names(proxy)}{what} {error.reason}", error.errno) from None
            except DeadlineError:
                raise _late(address, proxy, options) from None
        stream.peer = str(Address("tcp", host, address.port))
    except BaseException:
        stream.abort()
        raise
    hide(False)
    return stream


def _names(proxy: Proxy) -> str:
    return f"the proxy {proxy}"


def refusal(address: Address, reason: str, number: int | None) -> ConnectError:
    """The error of a connection that a proxy did not give us."""
    attempts = (Attempt(str(address), reason, number),)
    return ConnectError(f"cannot connect to {address}: {reason}", address=str(address), errno=number, attempts=attempts)


def unreached(address: Address, proxy: Proxy, error: OpenError | DeadlineError) -> OpenError | DeadlineError:
    """The error where the first proxy itself could not be reached.

    Its attempt has no number, because nothing is known about the address.
    """
    reasons = "; ".join(attempt.reason for attempt in error.attempts) or str(error)
    reason = f"{_names(proxy)} cannot be reached: {reasons}"
    attempts = (Attempt(str(address), reason),)
    message = f"cannot connect to {address}: {reason}"
    if isinstance(error, DeadlineError):
        return DeadlineError(message, attempts=attempts)
    if isinstance(error, ResolveError):
        return ResolveError(message, address=str(address), errno=error.errno)
    return ConnectError(message, address=str(address), errno=error.errno, attempts=attempts)


def _late(address: Address, proxy: Proxy, options: Options) -> DeadlineError:
    reason = f"{_names(proxy)} did not answer within {options.connect_timeout:g} s (connect_timeout)"
    return DeadlineError(f"cannot connect to {address}: {reason}", attempts=(Attempt(str(address), reason),))


async def _name_for(engine: Engine, proxy: Proxy, host: str, lookup: Lookup, deadline: float | None) -> str:
    """The host as the proxy takes it: SOCKS4 has no names, so it is resolved here."""
    host = ascii_host(host)
    if proxy.scheme != "socks4" or ":" in host or host[-1:].isdigit():
        return host
    candidates = await resolve(engine, Address("tcp4", host, 0), deadline=deadline, lookup=lookup)
    return str(candidates[0].name[0])


def _exchange(proxy: Proxy, host: str, port: int) -> Exchange:
    if proxy.scheme == "http":
        from socketkit.client.proxies.http_connect import http_exchange

        return http_exchange(host, port, user=proxy.user, password=proxy.password)
    if proxy.scheme in ("socks4", "socks4a"):
        from socketkit.client.proxies.socks4 import socks4_exchange

        return socks4_exchange(host, port, user=proxy.user)
    from socketkit.client.proxies.socks5 import socks5_exchange

    return socks5_exchange(host, port, user=proxy.user, password=proxy.password)


async def _run(stream: SocketStream, exchange: Exchange, deadline: float | None) -> None:
    """Run an exchange over the stream, and receive not one byte more than its replies."""
    reply: bytes | None = None
    while True:
        try:
            request = next(exchange) if reply is None else exchange.send(reply)
        except StopIteration:
            return
        reply = await _answer(stream, request, deadline)


async def _answer(stream: SocketStream, request: Request, deadline: float | None) -> bytes:
    data = b""
    try:
        if request.data:
            await stream.send(request.data, deadline=deadline)
        while count := request.missing(data):
            data += await stream.receive_up_to(count, deadline=deadline)
    except EndOfStream:
        where = f"after {len(data)} bytes of its reply" if data else "instead of a reply"
        raise ProxyReplyError(f"closed the connection {where}", errno.ECONNABORTED) from None
    except BrokenError as error:
        raise ProxyReplyError(f"was lost: {error}", error.errno) from None
    return data
