"""`socketkit nc`: the flags that people paste from OpenBSD's nc, ncat and the traditional netcat, on our verbs.

One meaning for each letter; where the flavours differ, -v says which one was taken. What no flavour shares (shells)
is refused with what to use instead. Phrases that scripts look for are OpenBSD's.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import click

from socketkit.apps.relay.service import serve_relay
from socketkit.apps.talk.byte_formats import CrLf
from socketkit.apps.talk.connect import call
from socketkit.apps.talk.conversation import AbandonedError, TalkOptions, run_until_signal
from socketkit.apps.talk.listen import answer
from socketkit.cli import common_options
from socketkit.cli.common_options import Read
from socketkit.cli.fast_click import Command, option, print_version
from socketkit.cli.line_editor import open_terminal
from socketkit.cli.output import Status, print_failure, print_line
from socketkit.cli.talk_options import output_filter, terminal_options
from socketkit.client.connect import open_connection
from socketkit.config.address import Address
from socketkit.config.durations import parse_duration
from socketkit.config.options import Options
from socketkit.config.proxy import Proxy, parse_proxies
from socketkit.connection.tunnel import Limits, Pace, run_tunnel
from socketkit.engines.engine import Engine
from socketkit.errors import ConnectError, DeadlineError, EndOfStream, OpenError, OptionError, ResolveError, StreamError
from socketkit.events import Accepted, Connected, Event, Listening, Observer
from socketkit.framing import of as framing_of
from socketkit.streams.copy import Pipes

__all__ = ["nc"]

_WITH_VALUE: Final = "pswqieIOTxXP"
"""Letters that take a value: in a bundle, what follows one is its value."""

_DIFFERS: Final = {
    "-w": "OpenBSD's meaning is taken: connecting, and silence later on (ncat: connecting alone); 0 awaits no answer",
    "-q": "Debian's meaning is taken: seconds to receive after our end (the default here: to its end)",
    "-x": "OpenBSD's meaning is taken: a proxy (ncat: a file for a hex dump)",
    "-p": "as ncat and the traditional netcat have it: the port to listen at (OpenBSD's nc refuses it with -l)",
}

_INSTEAD: Final = {
    "-c": "a shell for ncat, TLS for OpenBSD; take `-e 'sh -c COMMAND'`, or `socketkit connect tls://…`",
    "-i": "a pause between lines for OpenBSD, an idle time-out for ncat; take -w",
    "-o": "a file for ncat; take `socketkit connect --dump hex --dump-file FILE`",
}

_OF_NCAT: Final = {
    "--sh-exec": "-e 'sh -c COMMAND'",
    "--ssl": "`socketkit connect tls://HOST:PORT`, or `listen tls://:PORT --cert FILE`",
    "--idle-timeout": "-w",
    "--send-only": "`socketkit connect HOST PORT --send-only`",
    "--output": "`socketkit connect HOST PORT --dump text --dump-file FILE`",
    "--hex-dump": "`socketkit connect HOST PORT --dump hex --dump-file FILE`",
    "--allow": "`socketkit listen :PORT --allow NETWORKS`",
    "--deny": "`socketkit listen :PORT --deny NETWORKS`",
    "--chat": "`socketkit chat host :PORT`",
    "--broker": "`socketkit chat host :PORT`",
    "--vsock": "`socketkit connect vsock://CID:PORT`",
}
"""Long options of ncat without an equal here: what to take instead. `--ssl` stands for all that begin with it."""


class _Flags(Command):
    """Looks at the flags before click does: `-verbose` must not arm -e."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse bundles with -e in them, and flags without one clear meaning."""
        for argument in args:
            if argument == "--":
                break
            word = "--ssl" if argument.startswith("--ssl") else argument.partition("=")[0]
            if word in _OF_NCAT and not ctx.resilient_parsing:
                raise click.UsageError(f"{argument.partition('=')[0]} is ncat's; take {_OF_NCAT[word]}", ctx)
            if re.fullmatch(r"-[A-Za-z0-9].*", argument) and not ctx.resilient_parsing:
                self._check(argument, ctx)
        return super().parse_args(ctx, args)

    def _check(self, argument: str, ctx: click.Context) -> None:
        for place, letter in enumerate(argument[1:]):
            if letter == "e" and argument != "-e":
                message = f"{argument}: -e runs a program, and is taken only as a whole option of its own: -e PROGRAM"
                raise click.UsageError(message, ctx)
            instead = _INSTEAD.get(f"-{letter}")
            if instead is not None and (place == 0 or letter not in "co"):
                raise click.UsageError(f"-{letter} differs between flavours: {instead}", ctx)
            if letter in _WITH_VALUE:
                return


PROBE_COUNT: Final = 2
"""Datagrams that test a UDP port: an ICMP refusal of the first is reported by the call after it."""

PROBE_TIMEOUT: Final = 1.0
"""Seconds without a refusal after which a UDP port counts as open, without -w: nc's probes take as long."""

MAX_SECONDS: Final = 1e9
"""The largest number of seconds that -w and -q take: thirty years."""

MIN_SECONDS: Final = 0.001


def _seconds(text: str) -> float:
    """A number of seconds, or a time as ncat takes it (`500ms`, `2m`); negative: without limit."""
    try:
        seconds = parse_duration(text) if text[:1] != "-" and text[-1:] in "msh" else float(text)
    except ValueError:  # OptionError is one
        raise OptionError(f"{text!r} is not a number of seconds") from None
    if not seconds <= MAX_SECONDS or (0 < seconds < MIN_SECONDS):
        raise OptionError(f"{text!r} is not a number of seconds; allowed are 0, 0.001 to 1000000000, -1 for no limit")
    return seconds


@click.command(cls=_Flags, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", metavar="[HOST] [PORT | FIRST-LAST]...", nargs=-1)
@option("-l", "--listen", "listens", is_flag=True, help="Listen, for one client.")
@option("-k", "--keep-open", "keeps", is_flag=True, help="With -l: for one after another (with -e: for many at once).")
@option(
    "-p", "--source-port", "port", metavar="PORT", help="With -l: the port to listen at; else the port to connect from."
)
@option("-s", "--source", "source", metavar="ADDRESS", help="The address to connect from.")
@option("-u", "--udp", "datagrams", is_flag=True, help="UDP, or with -U datagrams.")
@option("-U", "--unixsock", "is_path", is_flag=True, help="UNIX sockets: HOST is a path.")
@option("-z", "only_test", is_flag=True, help="Test whether a connection is accepted; send nothing.")
@option("-v", "--verbose", "verbose", count=True, help="Tell what happens.")
@option("-w", "--wait", "timeout", metavar="SECONDS", type=Read("seconds", _seconds), help="Time to connect; silence.")
@option("-q", "quit_after", metavar="SECONDS", type=Read("seconds", _seconds), help="Time after our end.")
@option("-N", "half_close", is_flag=True, help="End our direction at the end of the input: always so here.")
@option("-d", "--recv-only", "deaf", is_flag=True, help="Do not read standard input.")
@option("-n", "--nodns", "numeric", is_flag=True, help="Numbers only: look up no name.")
@option("-4", "is_four", is_flag=True, help="IPv4 alone.")
@option("-6", "is_six", is_flag=True, help="IPv6 alone.")
@option("-C", "--crlf", "crlf", is_flag=True, help="Send line feeds as CR LF.")
@option("-t", "--telnet", "telnet", is_flag=True, help="Answer telnet's negotiation.")
@option("-x", "proxy", metavar="HOST[:PORT]", help="Connect through this proxy.")
@option("--proxy", "ncat_proxy", metavar="HOST[:PORT]", help="The same; without -X it speaks HTTP, as with ncat.")
@option(
    "-X",
    "--proxy-type",
    "proxy_kind",
    metavar="4|5|connect",
    help="The protocol of the proxy: SOCKS 4, 5 (default), or HTTP CONNECT; also socks4, socks5, http.",
)
@option("-P", "--proxy-auth", "proxy_user", metavar="USER[:PASSWORD]", help="The user for the proxy.")
@option("-e", "--exec", "program", metavar="PROGRAM", help="Run a program, and put the other end through to it.")
@option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Show the version."
)
@common_options.debug
def nc(words: tuple[str, ...], **flags: Any) -> int:
    """Netcat, as its flavours agree: arbitrary TCP, UDP and UNIX conversations.

    \b
    nc -l 5000                    listen at every interface, for one client
    nc -lk -p 5000 -e cat         an echo server
    nc -zv host 20-25 80          who accepts?
    nc -U /run/app.sock           a UNIX socket
    nc -X connect -x gw:3128 host 22    through an HTTP proxy
    """
    run = _Run(words, **flags)
    for line in run.warnings():
        print_line(f"socketkit nc: {line}")
    if run.listens:
        return run.listen()
    return run.test() if run.only_test else run.connect()


class _Run:
    """One call of nc: what its flags mean in our words."""

    def __init__(self, words: Sequence[str], **flags: Any) -> None:
        self._words = list(words)
        self._flags = flags
        if flags["ncat_proxy"] is not None:
            if flags["proxy"] is not None:
                raise click.UsageError("-x and --proxy name two proxies; take one")
            flags |= {"proxy": flags["ncat_proxy"], "proxy_kind": flags["proxy_kind"] or "http"}
        self.listens: bool = flags["listens"]
        self.only_test: bool = flags["only_test"]
        if flags["is_four"] and flags["is_six"]:
            raise click.UsageError("-4 and -6 leave no family; take one")
        if flags["keeps"] and not self.listens:
            raise click.UsageError("-k is for listening: it needs -l")
        if self.only_test and self.listens:
            raise click.UsageError("-z tests who listens elsewhere: it does not go with -l")
        self._refuse_unused()
        self._proxy = _proxy(flags["proxy"], flags["proxy_kind"], flags["proxy_user"])
        self._phrases = _Phrases(self) if flags["verbose"] else None
        self._observer: Observer | None = self._phrases
        timeout = flags["timeout"]
        self._timeout: float | None = None if timeout is None or timeout < 0 else timeout
        self._talk = TalkOptions(
            linger=self._timeout_after_input(),
            screen=output_filter(None),
            typed=CrLf if flags["crlf"] else None,
            only="receive" if flags["deaf"] else None,
            telnet=flags["telnet"],
            reply_wait=None
            if self._timeout is None and self.listens
            else 1.0
            if self._timeout is None
            else self._timeout,
            lingers_after_input=True,
            input_timeout=self._timeout,
            **terminal_options(),
        )

    def _timeout_after_input(self) -> float | None:
        """-q; without it `-w 0` means that no answer is awaited."""
        seconds: float | None = self._flags["quit_after"]
        if seconds is None and self._timeout == 0 and not self._flags["datagrams"]:
            return 0.0
        return None if seconds is None or seconds < 0 else seconds

    def _refuse_unused(self) -> None:
        """Refuse each flag that would have no effect beside the others."""
        flags = self._flags
        talks = not self.only_test and flags["program"] is None
        where = {
            "-e": (flags["program"] is not None and self.only_test, "-z, which runs nothing"),
            "-s": (flags["source"] is not None and flags["is_path"], "-U: a UNIX socket has no such address"),
            "-p": (flags["port"] is not None and flags["is_path"], "-U: a UNIX socket has no port"),
            "-n": (flags["numeric"] and flags["is_path"], "-U: no name is looked up"),
            "-x": (
                flags["proxy"] is not None and (self.listens or flags["datagrams"] or flags["is_path"]),
                "-l, -u and -U: a proxy is asked for TCP connections",
            ),
            "-X": (
                flags["proxy_kind"] is not None and flags["proxy"] is None,
                "no -x HOST:PORT, which names the proxy",
            ),
            "-P": (
                flags["proxy_user"] is not None and flags["proxy"] is None,
                "no -x HOST:PORT, which names the proxy",
            ),
            "-4": (flags["is_four"] and flags["is_path"], "-U: a UNIX socket has no address family of IP"),
            "-6": (flags["is_six"] and flags["is_path"], "-U: a UNIX socket has no address family of IP"),
        }
        rest = "-z, which sends nothing" if self.only_test else "-e: the program is the other end"
        for flag, name in (("-q", "quit_after"), ("-d", "deaf"), ("-C", "crlf"), ("-t", "telnet")):
            given = flags[name] not in (None, False)
            where[flag] = (given and not talks, rest)
        for flag, (is_unused, reason) in where.items():
            if is_unused:
                raise click.UsageError(f"{flag} has no effect beside {reason}")

    def warnings(self) -> list[str]:
        """Report with -v where the flavours differ."""
        given = {
            "-w": self._flags["timeout"] is not None,
            "-q": self._flags["quit_after"] is not None,
            "-p": self.listens and self._flags["port"] is not None,
            "-x": self._flags["proxy"] is not None and self._flags["ncat_proxy"] is None,
        }
        return [f"{flag}: {_DIFFERS[flag]}" for flag, is_given in given.items() if is_given and self._flags["verbose"]]

    def connect(self) -> int:
        """Connect and converse."""
        host, ports = self._place()
        address = self._address(host, ports[0])
        options = self._dial_options()
        if self._flags["program"]:
            child = Address.parse(f"exec:{self._flags['program']}")
            way = common_options.engine_for(None, address)
            return self._until_told(way, lambda: self._put_through(way, address, child, options))
        with open_terminal(None, address) as (way, person):
            work = call(way, address, person, talk=self._talk, observer=self._observer, **options)
            return self._until_told(way, lambda: work)

    def listen(self) -> int:
        """Accept one client, or one after another."""
        address = self._listen_address()
        if self._flags["program"]:
            child = Address.parse(f"exec:{self._flags['program']}")
            way = common_options.engine_for(None, address)
            way.run(serve_relay(way, address, [child], once=not self._flags["keeps"], observer=self._observer))
            return Status.DONE
        with open_terminal(None, address) as (way, person):
            work = answer(
                way,
                address,
                person,
                keep=self._flags["keeps"],
                talk=self._talk,
                lost=print_failure,
                observer=self._observer,
                **self._idle(),
            )
            return self._until_told(way, lambda: work)

    def test(self) -> int:
        """Test the ports; succeed when one accepts."""
        host, ports = self._place()
        addresses = [self._address(host, port) for port in ports]
        way = common_options.engine_for(None, *addresses)

        async def look() -> int:
            found = 0
            for address in addresses:
                try:
                    await self._probe(way, address)
                except (OpenError, DeadlineError, StreamError) as error:
                    self._say_failed(address, error)
                else:
                    found += 1
            return Status.DONE if found else Status.FAILED

        return way.run(look())

    async def _probe(self, way: Engine, address: Address) -> None:
        """Open a connection and close it. Over UDP, which has none, send a datagram and wait for an ICMP refusal.

        Raises:
            OpenError, DeadlineError, StreamError: no connection is accepted there.
        """
        options = Options.make(dict(address.options), self._dial_options())
        is_udp = self._flags["datagrams"] and not self._flags["is_path"]
        observer = None if is_udp else self._observer
        connection = await open_connection(way, address, framing_of("chunks"), options, observer=observer)
        async with connection:
            if not is_udp:
                return
            for _ in range(PROBE_COUNT):
                await connection.send(b"X")
                await connection.flush()
                with suppress(DeadlineError, EndOfStream):
                    await connection.receive(timeout=(self._timeout or PROBE_TIMEOUT) / PROBE_COUNT)
                    break  # an answer says more than silence
            if self._phrases is not None:
                self._phrases.succeeded(connection.peer)

    def _until_told(self, way: Engine, work: Any) -> int:
        flags = self._flags
        try:
            number = way.run(run_until_signal(way, work))
        except AbandonedError as error:
            if error.unsent_size or (flags["quit_after"] is None and self._timeout is None):
                raise
            number = None  # -q or -w asked for it
        except DeadlineError as error:
            if error.attempts:
                return self._not_opened(error)
            if self._timeout is None:
                raise
            number = None  # -w: the silence ends it, as in every nc
        except (ConnectError, ResolveError) as error:
            return self._not_opened(error)
        return Status.DONE if number is None else 128 + number

    def _not_opened(self, error: Exception) -> int:
        host, ports = self._place()
        self._say_failed(self._address(host, ports[0]), error, is_always=True)
        return Status.NOT_OPENED

    def _place(self) -> tuple[str, list[str]]:
        words = self._words
        if self._flags["is_path"]:
            if len(words) != 1:
                raise click.UsageError(f"-U takes one path, not {len(words)} words")
            if not words[0]:
                raise click.UsageError("-U takes the path of a socket; '' is none")
            return words[0], [""]
        if len(words) < 2:
            raise click.UsageError("a host and a port are needed, as: nc localhost 5000")
        return words[0], [port for word in words[1:] for port in _ports(word)]

    def _listen_address(self) -> Address:
        words, port, source = self._words, self._flags["port"], self._flags["source"]
        if self._flags["is_path"]:
            host, _ = self._place()
            return self._address(host, "")
        if port is not None:
            if len(words) > 1:
                raise click.UsageError(f"-p {port} and {words[1]!r} are two ports to listen at; leave one out")
            words = [*words, port]
        if source is not None:
            if len(words) > 1:
                raise click.UsageError(f"-s {source} and {words[0]!r} are two addresses to listen at; leave one out")
            words = [source, *words]
        if not 1 <= len(words) <= 2 or (source is not None and len(words) < 2):
            raise click.UsageError("a port to listen at is needed, as: nc -l 5000, or nc -l 127.0.0.1 5000")
        return self._address(words[0] if len(words) == 2 else "", words[-1])

    def _address(self, host: str, port: str) -> Address:
        if self._flags["is_path"]:
            return Address("unixgram" if self._flags["datagrams"] else "unix", path=host)
        scheme = "udp" if self._flags["datagrams"] else "tcp"
        scheme += "4" if self._flags["is_four"] else "6" if self._flags["is_six"] else ""
        address = Address(scheme, host=host, port=_port(port, "udp" if self._flags["datagrams"] else "tcp"))
        if self._flags["numeric"] and host and not address.is_numeric_host:
            raise OptionError(f"-n: {host!r} is a name, and no number; nothing was looked up")
        return address

    def _dial_options(self) -> dict[str, Any]:
        source, port = self._flags["source"], self._flags["port"]
        options: dict[str, Any] = self._idle()
        if self._proxy is not None:
            options["proxy"] = self._proxy
        if self._timeout:
            options["connect_timeout"] = self._timeout
        if source or port:
            options["bind"] = f"{source or ''}:{port or 0}" if ":" not in (source or "") else f"[{source}]:{port or 0}"
        return options

    def _idle(self) -> dict[str, Any]:
        """-w as the library's option. OpenBSD's nc has none with -l; `-w 0` does not wait for answers at all."""
        return {"idle_timeout": self._timeout} if self._timeout and not self.listens else {}

    async def _put_through(self, way: Engine, address: Address, child: Address, options: dict[str, Any]) -> None:
        how = Options.make(options)
        target = await open_connection(way, address, framing_of("chunks"), how, observer=self._observer)
        async with target:
            program = await open_connection(way, child, framing_of("chunks"), Options())
            await run_tunnel(target, program, limits=Limits(), pace=Pace(Pipes()))

    def _say_failed(self, address: Address, error: Exception, *, is_always: bool = False) -> None:
        if not (self._flags["verbose"] or is_always):
            return
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number and not isinstance(error, ResolveError) else str(error)
        protocol = "udp" if self._flags["datagrams"] else "tcp"
        place = address.path or f"{address.host} port {address.port} ({protocol})"
        print_line(f"nc: connect to {place} failed: {reason}")


class _Phrases:
    """What scripts look for in the standard error of OpenBSD's nc."""

    def __init__(self, run: _Run) -> None:
        self._protocol = "udp" if run._flags["datagrams"] else "tcp"

    def __call__(self, event: Event) -> None:
        if isinstance(event, Connected):
            self.succeeded(Address.parse(event.peer))
        elif isinstance(event, Listening):
            print_line(f"Listening on {_spaced(event.local)}")
        elif isinstance(event, Accepted):
            print_line(f"Connection received on {_spaced(event.peer)}")

    def succeeded(self, peer: Address) -> None:
        """Print the line of an opened connection."""
        if peer.port is None:
            print_line(f"Connection to {peer.path or peer} succeeded!")
            return
        service = _service(peer.port, self._protocol)
        print_line(f"Connection to {peer.host} {peer.port} port [{self._protocol}/{service}] succeeded!")


def _spaced(text: str) -> str:
    address = Address.parse(text)
    return address.path or f"{address.host or '0.0.0.0'} {address.port}"


def _service(port: int, protocol: str) -> str:
    try:
        return socket.getservbyport(port, protocol)
    except OSError:
        return "*"


_PROXY_KINDS: Final = {
    None: "socks5",
    "5": "socks5",
    "4": "socks4",
    "connect": "http",
    "socks5": "socks5",
    "socks4": "socks4",
    "http": "http",
}
"""OpenBSD's names of the protocols, and ncat's."""


def _proxy(place: str | None, kind: str | None, secret: str | None) -> tuple[Proxy, ...] | None:
    """The proxy of -x, -X and -P; None without -x."""
    if kind not in _PROXY_KINDS:
        raise click.UsageError(f"-X {kind!r} is none of 4, 5, connect, socks4, socks5 and http")
    if place is None:
        return None
    scheme = _PROXY_KINDS[kind]
    if "@" in place or "://" in place:
        raise click.UsageError("-x takes HOST or HOST:PORT; the protocol is for -X, the user for -P")
    found = parse_proxies(f"{scheme}://{place}", name="-x")
    assert not isinstance(found, str)
    if secret is None:
        return found
    user, _, password = secret.partition(":")
    return parse_proxies([f"{scheme}://{quote(user, '')}:{quote(password, '')}@{place}"], name="-P")  # type: ignore[return-value]


def _ports(word: str) -> list[str]:
    """One port, or those of a range, in their order."""
    first, dash, last = word.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal()):
        return [word]
    if int(first) > int(last) or int(last) > 65535:
        raise click.UsageError(f"{word!r} is no range of ports; allowed is FIRST-LAST, up to 65535")
    return [str(port) for port in range(int(first), int(last) + 1)]


def _port(text: str, protocol: str) -> int:
    if text.isdecimal() and int(text) <= 65535:
        return int(text)
    try:
        return socket.getservbyname(text, protocol)
    except OSError:
        raise OptionError(f"{text!r} is neither a port (0 to 65535) nor a service of {protocol}") from None
