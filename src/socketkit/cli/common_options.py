"""Arguments that verbs share: each is described, read and checked here, before anything is opened."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from socketkit import engines
from socketkit import framing as framings
from socketkit.cli.fast_click import option
from socketkit.config.address import Address
from socketkit.config.durations import format_duration, parse_duration
from socketkit.config.options import format_option
from socketkit.config.quoting import quote
from socketkit.config.schemes import scheme_names
from socketkit.engines.engine import Engine
from socketkit.errors import AddressError, OptionError
from socketkit.events import Observer, combine

__all__ = [
    "DEFAULT_ADDRESS",
    "Read",
    "backlog",
    "connect_timeout",
    "debug",
    "engine",
    "engine_for",
    "explain",
    "framing",
    "given_options",
    "idle_timeout",
    "linger",
    "observer_for",
    "one_address",
    "proxy",
    "read_address",
    "ready_fd",
    "refuse_stdio",
    "retry",
    "send_proxy",
    "several_addresses",
    "time_or_forever",
    "verbose",
    "watching_passages",
    "with_observer_options",
]

DEFAULT_ADDRESS: Final = "tcp://localhost:50000"

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # before click 8.2 it takes no argument

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


class Read(_ParamType):
    """A type of click by a function of ours: what it refuses is a usage error."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value of a text."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except (AddressError, OptionError) as error:
            self.fail(_without_keyword(str(error), param), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Complete names of engines, framings and schemes, and paths."""
        from click.shell_completion import CompletionItem

        if self.name == "command" or (self.name in ("address", "target") and incomplete[:1] in (".", "/")):
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(word) for word in _words_of(self.name) if word.startswith(incomplete)]


def _without_keyword(text: str, param: click.Parameter | None) -> str:
    """The text of an error without the keyword before it, where that is the option: click names the option already."""
    from socketkit.cli.option_words import KEYWORDS

    word, _, rest = text.partition(": ")
    names = (KEYWORDS.get(word), f"--{word.replace('_', '-')}")
    return rest if rest and param is not None and not {*param.opts}.isdisjoint(names) else text


def _words_of(name: str) -> list[str]:
    if name == "engine":
        return [each for each in engines.NAMES if engines.is_available(each)]
    if name == "framing":
        return list(framings.FRAMINGS)
    schemes = {"address": scheme_names(), "target": (*scheme_names(), "http", "https")}.get(name, ())
    return [f"{scheme}:" for scheme in schemes]


def _framing(text: str) -> str:
    return str(framings.parse(text))


def _engine(text: str) -> str:
    reason = engines.missing(text)
    if reason is not None:
        raise OptionError(reason)
    return text


def time_or_forever(text: str) -> float | None:
    """A time in seconds; None for `forever`."""
    return None if text == "forever" else parse_duration(text)


def _option(name: str) -> Callable[[str], str]:
    """One of the library's options, checked; it stays text, which the library reads again."""
    return lambda text: format_option(name, text)


def _backoff(text: str) -> str:
    """A range of pauses, as the parts of a retry."""
    first, dots, last = text.partition("..")
    if not dots:
        raise OptionError(
            f"{quote(text)} is not a range of times; allowed is the first pause and the longest: 0.1s..10s"
        )
    shortest, longest = parse_duration(first, name="backoff"), parse_duration(last, name="backoff")
    if longest < shortest:
        raise OptionError(f"{quote(text)} ends before it begins; allowed is the first pause and the longest: 0.1s..10s")
    return f"first={format_duration(shortest)},maximum={format_duration(longest)}"


def _descriptor(text: str) -> int:
    if not text.isdecimal():
        raise OptionError(f"{text!r} is not a descriptor; allowed is the number of an open one")
    try:
        os.fstat(int(text))
    except (OSError, OverflowError):
        raise OptionError(f"{text} is not open: nothing would be written there") from None
    return int(text)


def _default_address(text: str | None) -> dict[str, Any]:
    return {"required": True} if text is None else {"default": text, "required": False}


def read_address(text: str) -> Address:
    """An address as it is typed: also with a service's name as the port, `localhost:ssh`.

    Raises:
        AddressError: it is none, or the service is unknown.
    """
    try:
        return Address.parse(text)
    except AddressError as error:
        match = re.fullmatch(_SERVICE, text)
        if match is None:
            raise
        protocol = "udp" if text.startswith("udp") else "tcp"
        port = _service_port(match["service"], protocol)
        if port is None and "is not a port" in str(error):
            raise AddressError(f"{error}, or a service of {protocol} in /etc/services") from None
        if port is None:
            raise
        return Address.parse(f"{match['before']}{port}{match['after'] or ''}")


_SERVICE: Final = (
    r"(?P<before>(?:[a-z0-9+]+://)?(?:\[[^\]]*\]|[^\[\]:/?@]*):)(?P<service>[A-Za-z][\w+.-]*)(?P<after>\?.*)?"
)
"""An address whose port is a word; it may have a scheme and options."""


def _service_port(name: str, protocol: str) -> int | None:
    """The port of a service (services(5)); None where it has none."""
    import socket

    try:
        return socket.getservbyname(name.lower(), protocol)
    except OSError:
        return None


def one_address(default: str | None = None, read_word: Callable[[str], Address] | None = None) -> Decorator[Any]:
    """ADDRESS, or HOST PORT as two words. `read_word` reads the word of an address; None: `read_address`."""

    def read(ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> Address | None:
        if not words and default is None:
            if ctx.resilient_parsing:
                return None
            raise click.MissingParameter(ctx=ctx, param=parameter)
        try:
            return _address_of(words or (default or "",), read_word or read_address)
        except (AddressError, OptionError) as error:
            raise click.BadParameter(str(error), ctx, parameter) from None

    shown = "ADDRESS | HOST PORT" if default is None else "[ADDRESS | HOST PORT]"
    return click.argument("address", metavar=shown, type=_Word("address"), nargs=-1, callback=read)


class _Word(Read):
    """A word of an address that may have two: completed as an address, and read later."""

    def __init__(self, name: str) -> None:
        super().__init__(name, str)


def _address_of(words: Sequence[str], read: Callable[[str], Address] = read_address) -> Address:
    if len(words) == 1:
        return read(words[0])
    if len(words) > 2:
        raise AddressError(f"{len(words)} words are no address; allowed are ADDRESS, or HOST PORT")
    host, port = words
    is_plain = host and "/" not in host and not host.startswith("@") and (host.count(":") != 1 or host[0] == "[")
    if not is_plain or not re.fullmatch(r"[\w+.-]+", port):
        raise AddressError(f"{quote(host)} and {quote(port)} are two addresses; allowed is one, or HOST PORT")
    return read_address(f"[{host}]:{port}" if ":" in host and host[0] != "[" else f"{host}:{port}")


def several_addresses(function: F) -> F:
    """ADDRESS...; none is given as an empty tuple."""
    return click.argument("addresses", metavar="[ADDRESS]...", type=Read("address", read_address), nargs=-1)(function)


framing: Decorator[Any] = option(
    "--framing",
    metavar="NAME",
    type=Read("framing", _framing),
    help="How bytes are divided into messages: chunks (default), lines, length:4, json, ...",
)
engine: Decorator[Any] = option(
    "--engine",
    metavar="NAME",
    type=Read("engine", _engine),
    help=f"How the process waits: {', '.join(engines.NAMES)}. Default: the best that the system itself has.",
)
connect_timeout: Decorator[Any] = option(
    "--connect-timeout",
    metavar="TIME",
    type=Read("time", _option("connect_timeout")),
    help="How long connecting may take, over all addresses of the name (default 10s).",
)
_retry: Decorator[Any] = option(
    "--retry",
    metavar="COUNT",
    type=Read("count", _option("retry")),
    help="How often to try again after a failed connect: 5, forever (default: not at all).",
)
_backoff_option: Decorator[Any] = option(
    "--backoff",
    metavar="TIME..TIME",
    type=Read("range", _backoff),
    help="The first pause between tries and the longest; each is twice the one before, less up to a half by chance "
    "(default 0.1s..10s).",
)


def retry(function: F) -> F:
    """--retry and --backoff, which `given_options` makes one option of."""
    decorated: F = _retry(_backoff_option(function))
    return decorated


send_proxy: Decorator[Any] = option(
    "--send-proxy",
    metavar="v1|v2",
    type=Read("version", _option("send_proxy")),
    help="Send a PROXY header of this version first, before TLS.",
)
proxy: Decorator[Any] = option(
    "--proxy",
    metavar="PROXIES",
    type=Read("proxies", _option("proxy")),
    help="Connect through: socks5://USER:PASSWORD@HOST:PORT, socks4a://…, http://…, several with commas; or env.",
)
idle_timeout: Decorator[Any] = option(
    "--idle-timeout",
    metavar="TIME",
    type=Read("time", _option("idle_timeout")),
    help="End with status 124 when the peer is silent for so long while we wait for it.",
)
linger: Decorator[Any] = option(
    "--linger",
    metavar="TIME",
    type=Read("time", time_or_forever),
    default="forever",
    help="How long the other direction may go on after the end of the first: 2s, 0, forever (default).",
)
backlog: Decorator[Any] = option(
    "--backlog",
    metavar="COUNT",
    type=Read("count", _option("backlog")),
    help="Clients that may wait to be accepted (default: as many as the system allows).",
)
ready_fd: Decorator[Any] = option(
    "--ready-fd",
    metavar="N",
    type=Read("descriptor", _descriptor),
    help="Write the `listening` lines to this descriptor too, and close it.",
)
verbose: Decorator[Any] = option(
    "-v", "--verbose", count=True, help="Report events on standard error; -vv: also the steps before them."
)
explain: Decorator[Any] = option(
    "--explain", is_flag=True, help="Show every socket call with its arguments and result, and explain it."
)


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().ensure_object(dict)["debug"] = True


debug: Decorator[Any] = option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_set_debug,
    help="Show the traceback of a failure.",
)


def with_observer_options(function: F) -> F:
    """All ways to watch a conversation; the function gets the `observer` that they make, or None."""
    return _watching(function, data_level=1)


def watching_passages(function: F) -> F:
    """The same for a relay: `-v` leaves out the data, `-vv` shows it."""
    return _watching(function, data_level=2)


def _watching(function: F, *, data_level: int) -> F:
    @functools.wraps(function)
    def with_observer(
        *args: Any,
        verbose: int,
        explain: bool,
        dump: str | None,
        dump_file: str | None,
        pcap: str | None,
        **options: Any,
    ) -> Any:
        watch = observer_for(verbose, explain, shows_data=verbose >= data_level)
        return function(*args, observer=combine(watch, _dump(dump, dump_file), _capture(pcap)), **options)

    for each in (_pcap_option, _dump_file_option, _dump_option, explain, verbose):
        with_observer = each(with_observer)
    return with_observer  # type: ignore[return-value]


_dump_option: Decorator[Any] = option(
    "--dump",
    metavar="text|hex|json",
    type=click.Choice(["text", "hex", "json"]),
    help="Write the data of both directions to standard error.",
)
_dump_file_option: Decorator[Any] = option(
    "--dump-file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write the dump there instead (as text, unless --dump says else).",
)
_pcap_option: Decorator[Any] = option(
    "--pcap",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Record it as a pcapng file, which Wireshark and tshark read.",
)


def refuse_stdio(address: Address) -> None:
    """Standard input and output are this end already.

    Raises:
        click.UsageError: they are meant to be the other end too.
    """
    if address.scheme == "stdio":
        raise click.UsageError("standard input and output are this end of the conversation; give the other one")


def given_options(**options: Any) -> dict[str, Any]:
    """The options that were given: the others are left to the address, and to the library.

    Raises:
        OptionError: --backoff without --retry.
    """
    backoff = options.pop("backoff", None)
    if backoff is not None:
        if options.get("retry") is None:
            raise OptionError("--backoff says how long to pause between tries; say how many with --retry")
        options["retry"] = f"{options['retry']},{backoff}"
    return {name: value for name, value in options.items() if value is not None}


def engine_for(name: str | None, *addresses: Address) -> Engine:
    """The engine that was asked for, by the option or by an address; else the best that the system itself has.

    Raises:
        OptionError: it cannot be had here.
    """
    asked = [name, *(dict(address.options).get("engine") for address in addresses)]
    return engines.make(next(filter(None, asked), None) or engines.best_readiness())


def observer_for(verbose: int, explain: bool, *, shows_data: bool = True) -> Observer | None:
    """The observer that the options ask for, or None; it receives data only if data is to be shown."""
    watch = call = None
    if verbose:
        from socketkit.cli.event_lines import Watch

        watch = Watch(verbose, shows_data=shows_data)
    if explain:
        from socketkit.cli.explain import Explain

        call = Explain()
    return combine(call, watch)


def _dump(form: str | None, file: str | None) -> Observer | None:
    if form is None and file is None:
        return None
    from socketkit.apps.observers.dump import Dump
    from socketkit.cli.output import print_block

    if file is None:
        return Dump(form or "text", print_block)
    recording = Recording(file, "the dump")
    return Dump(form or "text", lambda record: recording.write(record.encode(errors="backslashreplace")))


def _capture(file: str | None) -> Observer | None:
    if file is None:
        return None
    from socketkit.apps.observers.pcap import Capture

    return Capture(Recording(file, "the recording").write)


class Recording:
    """A file that gets one whole record a write; a file that takes no more is reported once, and not written again.

    Raises:
        OptionError: it cannot be written; nothing else was opened then.
    """

    def __init__(self, path: str, name: str) -> None:
        from socketkit.apps.observers.record_file import open_record_file

        self._file = open_record_file(path)
        self._name = name
        self._has_failed = False
        click.get_current_context().call_on_close(self._file.close)

    def write(self, record: bytes) -> None:
        """Write it now: what was recorded survives whatever ends us."""
        if self._has_failed:
            return
        rest = memoryview(record)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._has_failed = True
            from socketkit.cli.output import print_failure

            print_failure(f"{self._file.name}: {error.strerror}: {self._name} ends here, the conversation goes on")
