"""Options of servers: admission, limits and timeouts; and serving with several processes."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from socketkit.cli.common_options import Read
from socketkit.cli.fast_click import option
from socketkit.cli.output import print_line
from socketkit.config.address import Address
from socketkit.config.options import format_option
from socketkit.endpoint import options_at
from socketkit.errors import OptionError
from socketkit.events import Observer, combine

if TYPE_CHECKING:
    from socketkit.blocking import BlockingServer

__all__ = ["limits", "metrics", "serve_by_workers", "some_limits", "workers"]

F = TypeVar("F", bound=Callable[..., Any])

_HELP: Final = {
    "max_connections": ("COUNT", "Connections at a time (default 10000)."),
    "overload": ("WORD", "Clients beyond that: wait (in the backlog; default), or reject (reset at once)."),
    "max_per_peer": ("COUNT", "Connections of one address at a time; the next is reset."),
    "accept_rate": ("COUNT", "Accepted connections a second."),
    "idle_timeout": ("TIME", "Close a connection whose peer is silent for so long."),
    "handshake_timeout": ("TIME", "How long a client may take before the first message (default 10s)."),
    "allow": ("NETWORKS", "Accept only clients from here: 10.0.0.0/8,::1, unix; repeatable."),
    "deny": ("NETWORKS", "Reset clients from here, whatever is allowed; repeatable."),
    "takeover": (
        "ADDRESS",
        "Take the listening sockets over from the running process, at this UNIX socket.",
    ),
    "accept_proxy": ("NETWORKS", "Proxies that may connect, each with a PROXY header; repeatable."),
}
_FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_LISTS: Final = ("allow", "deny", "accept_proxy")


def _joined(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> str | None:
    return ",".join(value) or None


def _read(name: str) -> Read:
    return Read("value", lambda text: format_option(name, text))


def limits(function: F) -> F:
    """The options of a server's limits, by the names of the library; those that were not given are None."""
    return some_limits(*_HELP)(function)


def some_limits(*names: str) -> Callable[[F], F]:
    """Those of them that such a server takes."""

    def decorate(function: F) -> F:
        for name in reversed(names):
            metavar, text = _HELP[name]
            is_list = name in _LISTS
            function = option(
                f"--{name.replace('_', '-')}",
                metavar=metavar,
                type=_read(name),
                help=text,
                multiple=is_list,
                callback=_joined if is_list else None,
            )(function)
        return function

    return decorate


workers: Callable[[Any], Any] = option(
    "--workers",
    metavar="COUNT",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Processes that share the clients; one that dies is replaced. Limits are per process.",
)


def serve_by_workers(
    addresses: Sequence[Address],
    count: int,
    serve: Callable[[list[Address], Callable[[object], None]], object],
    *,
    listening: Callable[[tuple[Address, ...]], object],
    observer: Observer | None,
    metrics_at: Address | None = None,
    **options: Any,
) -> None:
    """Serve by several processes.

    Args:
        addresses: where.
        count: how many.
        serve: what each does: serve at such addresses until SIGTERM, and call the second argument when it listens.
        listening: called once with the real addresses.
        observer: receives the start and the end of each worker.
        metrics_at: where any of the workers answers Prometheus for all of them; None: nowhere.
        options: of the library, for the listening sockets.

    Raises:
        ResolveError, ListenError, OptionError: as `Workers`.
    """
    from socketkit.config.options import Options
    from socketkit.server.workers import Workers

    if options.get("takeover") is not None or any("takeover" in dict(address.options) for address in addresses):
        raise OptionError("--takeover is for one process: leave --workers out")
    options = {name: value for name, value in options.items() if name in Options.fields}
    places = [(address, options_at(address, {}, options, verb="serve")) for address in addresses]

    metrics_number = len(places)
    if metrics_at is not None:
        places.append((metrics_at, options_at(metrics_at, {}, {}, verb="serve")))

    def announce(addresses: tuple[Address, ...]) -> None:
        _print_metrics(address for number, address in supervisor.addresses if number == metrics_number)
        listening(tuple(address for number, address in supervisor.addresses if number != metrics_number))

    def work(given: list[tuple[int, Address]], listens: Callable[[], None]) -> None:
        metrics_places = [address for number, address in given if number == metrics_number]
        with _scraped(*metrics_places) if metrics_places else nullcontext():
            serve([address for number, address in given if number != metrics_number], lambda _: listens())

    supervisor = Workers(places, count, work, listening=announce, observer=observer, shared={metrics_number})
    supervisor.run()


def _scraped(*addresses: Address) -> AbstractContextManager[BlockingServer]:
    """A server in a background thread that answers Prometheus."""
    from socketkit.api import serve
    from socketkit.apps.metrics_endpoint import HEAD, scraper
    from socketkit.metrics import scrape_registry

    return serve(scraper(scrape_registry()), *addresses, framing=HEAD, engine="poll", max_connections=64, grace=0.5)


def _print_metrics(addresses: Iterable[Address]) -> None:
    for address in addresses:
        print_line(f"metrics at {str(address).replace('tcp:', 'http:')}/metrics")


@contextmanager
def _metrics_folder() -> Iterator[None]:
    """While the block runs, there is a folder in which each process counts: the user's, or one that is removed."""
    if os.environ.get(_FOLDER_VARIABLE):
        yield
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="socketkit-metrics-") as folder:
        os.environ[_FOLDER_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[_FOLDER_VARIABLE]


def metrics(function: F) -> F:
    """`--metrics ADDRESS`: counts the command's events, and answers Prometheus.

    With several workers the function gets `metrics_at`, for `serve_by_workers`: the supervisor has no thread.
    """

    @option(
        "--metrics",
        metavar="ADDRESS",
        type=Read("address", Address.parse),
        help="Answer GET /metrics for Prometheus at this address: tcp://localhost:9100.",
    )
    @functools.wraps(function)
    def wrapped(*args: Any, metrics: Address | None, observer: Observer | None = None, **options: Any) -> Any:
        if metrics is None:
            return function(*args, observer=observer, **options)
        if options.get("workers", 1) != 1:
            with _metrics_folder():  # before prometheus_client is imported
                from socketkit.metrics import PrometheusObserver

                observer = combine(PrometheusObserver(), observer)
                return function(*args, observer=observer, metrics_at=metrics, **options)
        from socketkit.metrics import PrometheusObserver

        counting = PrometheusObserver()
        with _scraped(metrics) as server:
            _print_metrics(server.addresses)
            return function(*args, observer=combine(counting, observer), **options)

    return wrapped  # type: ignore[return-value]  # click's options change what it takes
