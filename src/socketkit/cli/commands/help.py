"""`socketkit help`: the help of a verb, and lists of what addresses, framings, engines and statuses there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Final

import click

from socketkit import engines
from socketkit.cli.common_options import Read
from socketkit.cli.error_pages import HEADINGS, PAGES, Words
from socketkit.cli.fast_click import command
from socketkit.cli.help_format import Formatter
from socketkit.cli.output import Status
from socketkit.config.languages import language_of_locale
from socketkit.config.quoting import quote, suggest
from socketkit.config.schemes import scheme_names
from socketkit.framing.registry import FRAMINGS
from socketkit.framing.spec import FramingSpec

__all__ = ["SCHEMES", "SHORT_FORMS", "TOPICS", "show_help"]

Rows = Iterable[tuple[str, str]]

SCHEMES: Final = {
    "tcp": ("tcp://host:port", "TCP over IPv4 and IPv6; tcp://:5000 is every interface, port 0 a free port"),
    "tcp4": ("tcp4://host:port", "TCP over IPv4 alone"),
    "tcp6": ("tcp6://host:port", "TCP over IPv6 alone"),
    "udp": ("udp://host:port", "UDP; a group's address, as 239.1.2.3, is joined (option interface=eth0)"),
    "udp4": ("udp4://host:port", "UDP over IPv4 alone"),
    "udp6": ("udp6://host:port", "UDP over IPv6 alone"),
    "unix": ("unix:///run/app.sock", "a UNIX stream socket; unix:app.sock is a relative path, unix://@name no file"),
    "unixgram": ("unixgram:///run/app.sock", "UNIX datagrams"),
    "unixpacket": ("unixpacket:///run/app.sock", "UNIX packets (SOCK_SEQPACKET)"),
    "ip": ("ip://host?protocol=icmp", "a raw socket; it needs CAP_NET_RAW"),
    "ip4": ("ip4://host?protocol=icmp", "a raw socket of IPv4"),
    "ip6": ("ip6://host?protocol=ipv6-icmp", "a raw socket of IPv6"),
    "tls": ("tls://host:port", "TLS over TCP; options of TLS: ?ca=FILE, ?pin=sha256:HEX, ?cert=FILE"),
    "tls+unix": ("tls+unix:///run/app.sock", "TLS over a UNIX stream socket"),
    "ws": ("ws://host:port/path?query", "WebSocket; needs the extra `ws`"),
    "wss": ("wss://host:port/path?query", "WebSocket over TLS"),
    "ws+unix": ("ws+unix:///run/app.sock?path=/chat", "WebSocket over a UNIX stream socket"),
    "vsock": ("vsock://cid:port", "a virtual machine and its host (Linux); vsock://:5000 listens for every context"),
    "fd": ("fd://3", "an inherited descriptor: a socket, a pipe, a terminal or a file"),
    "systemd": ("systemd:", "sockets opened by the service manager; systemd:name takes those of this name"),
    "stdio": ("stdio:", "standard input and output as one stream"),
    "exec": ("exec:COMMAND", "a child's standard input and output as one stream"),
}
"""Each scheme: an address as it is written, and what it means. A test holds it to the table of schemes."""

SHORT_FORMS: Final = (
    ("host:port", "tcp://host:port; [::1]:port for IPv6"),
    (":port", "tcp://:port, every interface"),
    ("/path, ./path", "unix:///path"),
    ("@name", "unix://@name"),
    ("-", "stdio:"),
)


def _framing_text(kind: type[FramingSpec]) -> str:
    options = [row.name if row.default is not None else f"{row.name} (must be given)" for row in kind.describe()]
    return f"{kind.title}{'. Options: ' if options else ''}{', '.join(options)}"


def _framings() -> Rows:
    return [(name, _framing_text(kind)) for name, kind in FRAMINGS.items()]


def _engines() -> Rows:
    return [(name, engines.missing(name) or "available") for name in engines.NAMES]


def _errors() -> Rows:
    language = language_of_locale(os.environ)
    return [(code, getattr(page, language).title) for code, page in PAGES.items()]


def _statuses() -> Rows:
    return [(str(int(status)), status.reason) for status in Status]


TOPICS: Final[dict[str, tuple[str, tuple[tuple[str, Callable[[], Rows]], ...], str]]] = {
    "addresses": (
        "An address says what to connect to, or where to listen.",
        (("Schemes", lambda: [SCHEMES[name] for name in scheme_names()]), ("Short forms", lambda: SHORT_FORMS)),
        "Options follow the address: tcp://host:5000?connect_timeout=2s&nodelay=no.",
    ),
    "framings": (
        "A framing divides a stream of bytes into messages: --framing NAME:OPTION,OPTION=VALUE.",
        (("Framings", _framings),),
        "As in --framing lines:crlf,max_size=64KiB, or --framing length:2le.",
    ),
    "engines": ("An engine is how the process waits: --engine NAME.", (("Engines", _engines),), ""),
    "errors": (
        "Errors that people ask about, by their codes: socketkit help errors CODE.",
        (("Errors", _errors),),
        "",
    ),
    "completion": (
        "A shell completes verbs, options, addresses and framings after this line, which belongs into its start file.",
        (
            (
                "Shells",
                lambda: [
                    ("bash", 'eval "$(_SOCKETKIT_COMPLETE=bash_source socketkit)"'),
                    ("zsh", 'eval "$(_SOCKETKIT_COMPLETE=zsh_source socketkit)"'),
                    ("fish", "_SOCKETKIT_COMPLETE=fish_source socketkit | source"),
                ],
            ),
        ),
        "",
    ),
    "status": ("How the command ends, as a shell sees it in $?.", (("Exit status", _statuses),), ""),
}
"""What `socketkit help` lists besides verbs: an introduction, tables, and a last line."""


class _Word(Read):
    """A verb or a topic, for completion."""

    def __init__(self) -> None:
        super().__init__("word", str)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Complete verbs and topics."""
        from click.shell_completion import CompletionItem

        if ctx.args == ["errors"] or ctx.params.get("words") == ("errors",):
            return [CompletionItem(code) for code in PAGES if code.startswith(incomplete)]
        root = ctx.find_root()
        verbs = root.command.list_commands(root) if isinstance(root.command, click.Group) else []
        return [CompletionItem(word) for word in (*verbs, *TOPICS) if word.startswith(incomplete)]


@command()
@click.argument("words", metavar="[VERB|TOPIC]...", type=_Word(), nargs=-1)
@click.pass_context
def show_help(context: click.Context, words: tuple[str, ...]) -> int:
    """Show the help of a verb, as VERB --help does; without one, the list of verbs.

    Topics: addresses, framings, engines, errors, completion, status; errors CODE explains one error.
    """
    if len(words) == 1 and words[0] in TOPICS:
        click.echo(_topic(words[0]))
    elif len(words) == 2 and words[0] == "errors":
        click.echo(_error_page(context, words[1]))
    else:
        click.echo(_verb_help(context, words))
    return Status.DONE


def _verb_help(context: click.Context, words: tuple[str, ...]) -> str:
    """The help of the verb, or of the verb's command, that these words name.

    Raises:
        UsageError: they name none; the nearest is suggested.
    """
    found = context.find_root()
    for word in words:
        command = found.command
        inner = command.get_command(found, word) if isinstance(command, click.Group) else None
        if inner is None:
            known = command.list_commands(found) if isinstance(command, click.Group) else []
            if found.parent is None:
                known = [*known, *TOPICS]
            allowed = f"there are {', '.join(known)}" if known else f"{found.command_path} has no commands of its own"
            raise click.UsageError(f"no help is for {quote(word)}{suggest(word, known)}; {allowed}", context)
        found = inner.context_class(inner, info_name=word, parent=found)
    return found.command.get_help(found)


def _error_page(context: click.Context, code: str) -> str:
    """The page about an error, in the locale's language.

    Raises:
        UsageError: there is no such code; the nearest is suggested.
    """
    if code not in PAGES:
        raise click.UsageError(f"no error has the code {quote(code)}{suggest(code, PAGES)}", context)
    language = language_of_locale(os.environ)
    words: Words = getattr(PAGES[code], language)
    meaning, causes, tries = HEADINGS[language]
    formatter = Formatter()
    formatter.write_text(words.title)
    for heading, texts in ((meaning, (words.meaning,)), (causes, words.causes), (tries, words.tries)):
        with formatter.section(heading):
            for text in texts:
                formatter.write_text(text if heading == meaning else f"- {text}")
    return formatter.getvalue().rstrip("\n")


_RUSSIAN: Final = {
    "Errors that people ask about, by their codes: socketkit help errors CODE.": (
        "Частые ошибки, по их кодам: socketkit help errors КОД."
    ),
    "Errors": "Ошибки",
}
"""The texts around the list of errors, which has its titles in the locale's language."""


def _topic(name: str) -> str:
    introduction, tables, last = TOPICS[name]
    words = _RUSSIAN if language_of_locale(os.environ) == "ru" else {}
    formatter = Formatter()
    formatter.write_text(words.get(introduction, introduction))
    for heading, rows in tables:
        with formatter.section(words.get(heading, heading)):
            formatter.write_dl(list(rows()))
    if last:
        formatter.write_paragraph()
        formatter.write_text(last)
    return formatter.getvalue().rstrip("\n")
