"""HTTP probes against scripted peers: statuses, bodies, redirects, interim responses, and what is no HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from socketkit import engines
from socketkit.apps.probes.exchange import bytes_pattern
from socketkit.apps.probes.http import HttpProbe, parse_statuses
from socketkit.apps.wait import wait_for
from socketkit.errors import AddressError, DeadlineError, OptionError
from support.programs import PATIENCE


@contextmanager
def answering(*responses: bytes, closes: bool = True) -> Iterator[tuple[str, list[bytes]]]:
    """A peer that gives each connection the next response, and keeps what it was asked."""
    requests: list[bytes] = []
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serve() -> None:
            for response in responses:
                sock, _ = listener.accept()
                sock.settimeout(PATIENCE)
                request = b""
                while b"\r\n\r\n" not in request and (more := sock.recv(4096)):
                    request += more
                requests.append(request)
                sock.sendall(response)
                sock.close() if closes else kept.append(sock)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
        thread.join()
    for sock in kept:
        sock.close()


def look(probe: HttpProbe, engine: str = "poll") -> str | None:
    """The reason of one look; None where the probe was ready."""
    way = engines.make(engine)
    try:
        way.run(wait_for(way, [probe], timeout=0, connect_timeout=PATIENCE))
    except DeadlineError as error:
        return error.attempts[0].reason
    return None


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready"


def test_request_has_host_path_and_query() -> None:
    with answering(OK) as (url, requests):
        assert look(HttpProbe(f"{url}/a%20b?x=1&y=%2F#part")) is None
    head = requests[0].decode().split("\r\n")
    assert head[0] == "GET /a%20b?x=1&y=%2F HTTP/1.1" and f"Host: {url[7:]}" in head and "Connection: close" in head


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", None),
        (b"HTTP/1.0 200\r\n\r\n", None),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "HTTP 503 Busy; expected 2xx"),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n",
            "HTTP 301 Moved to /x; expected 2xx (--location follows redirects)",
        ),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", None),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\n\r\n", "HTTP 500 No; expected 2xx"),
        (b"SSH-2.0-OpenSSH_9\r\n", r"no HTTP: b'SSH-2.0-OpenSSH_9\r\n'"),
        (b"", "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nA: b", r"closed after b'HTTP/1.1 200 OK\r\nA: b'"),
        (b"HTTP/1.1 two OK\r\n\r\n", "no HTTP: HTTP/1.1 two OK\r\n"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 70_000, "the head of the response has more than 65536 bytes"),
    ],
    ids=["204", "no-reason", "503", "redirect", "early-hints", "continue", "ssh", "silent", "cut", "bad", "long"],
)  # fmt: skip
def test_responses(response: bytes, reason: str | None) -> None:
    with answering(response) as (url, _):
        told = look(HttpProbe(url))
    assert (told or "").strip() == (reason or "").strip()


@pytest.mark.parametrize(
    "response",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nall is ready",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    ],
    ids=["length", "chunked", "to-the-end", "after-interim"],
)
def test_body_matches(response: bytes) -> None:
    with answering(response, response) as (url, _):
        assert look(HttpProbe(url, body=bytes_pattern("^(all is )?ready$"))) is None
        told = look(HttpProbe(url, body=bytes_pattern("broken")))
        assert told is not None and told.startswith("HTTP 200, and no 'broken' in its ")


@pytest.mark.parametrize(
    "response", [OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nready\r\n0\r\n\r\n"]
)
def test_body_ends_without_the_connection(response: bytes) -> None:
    """A server that keeps the connection open is not waited for."""
    with answering(response, closes=False) as (url, _):
        assert look(HttpProbe(url, body=bytes_pattern("ready"))) is None


def test_cut_body_is_searched() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nready") as (url, _):
        assert look(HttpProbe(url, body=bytes_pattern("ready"))) is None


def test_redirects_are_followed_when_asked() -> None:
    with answering(b"HTTP/1.1 302 Found\r\nLocation: /there?x\r\n\r\n", OK) as (url, requests):
        assert look(HttpProbe(f"{url}/here", follows=True)) is None
    assert [request.split(b" ")[1] for request in requests] == [b"/here", b"/there?x"]


def test_redirect_loop_ends() -> None:
    with answering(*[b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"] * 6) as (url, _):
        assert look(HttpProbe(url, follows=True)) == f"more than 5 redirects, the last to {url}/"


def test_redirect_to_another_scheme_is_a_reason() -> None:
    with answering(b"HTTP/1.1 302 Found\r\nLocation: ftp://h/\r\n\r\n") as (url, _):
        told = look(HttpProbe(url, follows=True))
    assert told == "a redirect to ftp://h/: 'ftp://h/' is no URL; allowed is http://host:port/path, or https://"


def test_silent_peer_is_late(engine_name: str = "poll") -> None:
    """A peer that accepts and says nothing costs the time of one look."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        probe = HttpProbe(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        way = engines.make(engine_name)
        with pytest.raises(DeadlineError, match=r"no answer within 100ms"):
            way.run(wait_for(way, [probe], timeout=0, connect_timeout=0.1))


@pytest.mark.parametrize(
    "url",
    ["http://", "http:///x", "http://h:99999/", "http://h:x/", "http://u:p@h/", "http://h/a b", "http://h/\r\nX: y"],
)
def test_bad_urls_are_refused(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        HttpProbe(url)
    assert "\n" not in str(caught.value) and "u:p" not in str(caught.value)


def test_statuses() -> None:
    assert parse_statuses("200, 3xx,401-404") == ((200, 200), (300, 399), (401, 404))
    for text in ("", "20", "2xy", "404-401", "600", "200,,201"):
        with pytest.raises(OptionError):
            parse_statuses(text)
