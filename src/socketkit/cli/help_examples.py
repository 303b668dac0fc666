"""What people do with each verb, as it is typed: shown at the end of its `--help`. A test reads each line's options."""

from __future__ import annotations

from typing import Final

__all__ = ["EXAMPLES", "epilog"]

EXAMPLES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "echo": (
        ("socketkit echo", "at localhost:50000"),
        ("socketkit echo tcp://:7 --framing lines -v", "a message a line, and report events"),
        ("socketkit echo unix:///run/echo.sock --engine poll", "at a UNIX socket, by another way of waiting"),
        ("socketkit echo tcp://localhost:0 --once --explain", "each system call, explained"),
    ),
    "connect": (
        ("socketkit connect localhost:5000", "talk to the server there"),
        ("printf 'GET / HTTP/1.0\\n\\n' | socketkit connect example.org:80 --crlf", "HTTP by hand"),
        ("socketkit connect /run/app.sock --framing json", "a JSON value a line, over a UNIX socket"),
        ("echo 00ff | socketkit connect host:1 --in hex --out hex --linger 2s", "bytes"),
        ("socketkit connect host:1 --retry 5 --backoff 0.1s..10s", "try again while nothing listens"),
        ("socketkit connect mail.example.org:25 --starttls smtp --crlf", "TLS after SMTP's STARTTLS"),
        ("socketkit connect host:1 --dump hex --pcap talk.pcapng --summary text", "watch it"),
    ),
    "listen": (
        ("socketkit listen tcp://localhost:5000", "talk to the first client"),
        ("socketkit listen :5000 --keep --receive-only > all", "keep what clients send, one after another"),
    ),
    "relay": (
        ("socketkit relay tcp://:8080 tcp://10.0.0.2:80", "forward connections"),
        ("socketkit relay tcp://localhost:5432 unix:///run/postgresql/.s.PGSQL.5432", "a port for a UNIX socket"),
        ("socketkit relay :80 tcp://a:80 tcp://b:80 --balance least --access-log log.jsonl", "several targets"),
    ),
    "wait": (
        ("socketkit wait tcp://db:5432 unix:///run/app.sock --for 30s -- ./serve", "both, then a command"),
        ("socketkit wait tcp://localhost:8080 --free", "until the port is free"),
        ("socketkit wait https://api.example/health --body ok --for 2m", "until a GET is answered with 2xx"),
        ("socketkit wait localhost:6379 --send 'PING\\r\\n' --expect PONG", "until the answer matches"),
    ),
    "chat": (
        ("socketkit chat host", "a room at localhost:5000; guests may have plain nc"),
        ("socketkit chat host --web http://localhost:8080", "a page for guests with a browser too"),
        ("socketkit chat host :5000 --store chat.db --password-file secret", "for the network, kept in a file"),
        ("socketkit chat join tcp://host:5000 --name Alice", "join the room"),
        ("socketkit chat export chat.db --json", "what was said, a JSON object a line"),
    ),
    "help": (
        ("socketkit help connect", "the options of connect"),
        ("socketkit help framings", "every framing, with its options"),
    ),
    "tour": (("socketkit tour", "the life of a socket, live"),),
}


def epilog(verb: str) -> str | None:
    """The end of a verb's help, as click sets it: without wrapping."""
    lines = EXAMPLES.get(verb)
    if lines is None:
        return None
    return "\b\nExamples:\n" + "\n".join(f"  {typed}\n      {what}" for typed, what in lines)
