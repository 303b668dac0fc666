"""WebSocket with a browser that is not ours: headless Chromium, and a page from `http=` that connects back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from socketkit import TLS, BrokenError, Request, Response, serve
from support.browser import Browser, Page
from support.programs import Program
from support.tls import papers

SCRIPT = """<!doctype html><meta charset="utf-8"><title>talk</title><body>here<script>
function open(path, protocols) {
  const socket = new WebSocket(location.origin.replace('http', 'ws') + path, protocols || []);
  socket.binaryType = 'arraybuffer';
  const waiting = [], messages = [];
  socket.onmessage = event => waiting.length ? waiting.shift()(event.data) : messages.push(event.data);
  socket.next = () => new Promise(took => messages.length ? took(messages.shift()) : waiting.push(took));
  socket.opened = new Promise((took, failed) => { socket.onopen = took; socket.onerror = () => failed('refused') });
  socket.closed = new Promise(took => socket.onclose = event => took([event.code, event.reason, event.wasClean]));
  return socket;
}
async function echoed(message, path) {
  const socket = open(path || '/chat');
  await socket.opened;
  socket.send(message);
  const answer = await socket.next();
  socket.close(1000);
  await socket.closed;
  return answer;
}
const byteAt = at => (at * 31 + (at >> 8)) & 255;
function pattern(size) {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 1) bytes[at] = byteAt(at);
  return bytes;
}
const isPattern = (bytes, size) => bytes.length === size && bytes.every((byte, at) => byte === byteAt(at));
async function agreed(protocols) {
  const socket = open('/chat', protocols);
  await socket.opened;
  socket.close();
  return [socket.protocol, socket.extensions];
}
function noise(size) {  // does not compress
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return bytes;
}
async function closed(path, code, reason, message) {
  const socket = open(path);
  await socket.opened;
  if (message) socket.send(message);
  if (code) socket.close(code, reason);
  return socket.closed;
}
const refusal = url => new Promise(took => {
  const socket = new WebSocket(url);
  socket.onopen = () => { socket.close(); took(null) };
  socket.onerror = () => took('refused');
});
</script>"""


def page(request: Request) -> Response:
    if request.path == "/":
        return Response(200, SCRIPT, {"Content-Type": "text/html; charset=utf-8"})
    return Response(404, "not here")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser("--ignore-certificate-errors") as made:
        yield made


async def echo(connection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """A page whose server echoes."""
    with serve(echo, "ws://127.0.0.1:0/chat", http=page, engine="epoll", subprotocols="v2,v1", max_size="16MiB") as at:
        yield browser.open(f"http://127.0.0.1:{at.addresses[0].port}/")


def test_text_and_binary_are_echoed(tab: Page) -> None:
    assert tab.evaluate("echoed('привет 🙂')") == "привет 🙂"
    assert tab.evaluate("echoed('')") == ""
    assert tab.evaluate("echoed('z'.repeat(100000)).then(text => text === 'z'.repeat(100000))") is True
    assert tab.evaluate("echoed(new Uint8Array([0, 255, 7])).then(data => [...new Uint8Array(data)])") == [0, 255, 7]
    assert tab.errors == []


def test_16_mib_are_one_message(tab: Page) -> None:
    assert tab.evaluate("echoed(pattern(16 << 20)).then(data => isPattern(new Uint8Array(data), 16 << 20))") is True
    assert tab.evaluate("echoed('ы'.repeat(8 << 20)).then(text => text === 'ы'.repeat(8 << 20))") is True


def test_a_message_beyond_the_limit_is_1009_while_its_rest_is_under_way(browser: Browser) -> None:
    """To close at once would be a reset, which takes the close frame back: the page would see 1006."""
    with serve(echo, "ws://127.0.0.1:0/chat", http=page, engine="epoll", max_size="1MiB") as server:
        tab = browser.open(f"http://127.0.0.1:{server.addresses[0].port}/")
        assert tab.evaluate("closed('/chat', null, null, noise(16 << 20))")[:2] == [
            1009,
            "a message has 1048577 bytes or more, and max_size is 1048576",
        ]


def test_many_messages_come_in_order(tab: Page) -> None:
    talk = """(async () => {
        const socket = open('/chat'); await socket.opened;
        for (let number = 0; number < 5000; number += 1) socket.send(String(number));
        for (let number = 0; number < 5000; number += 1) if (await socket.next() !== String(number)) return number;
        socket.close(); await socket.closed; return 'all';
    })()"""
    assert tab.evaluate(talk) == "all"


def test_the_server_chooses_the_subprotocol_and_deflate(tab: Page) -> None:
    assert tab.evaluate("agreed(['v1', 'v2'])") == ["v2", "permessage-deflate"]
    assert tab.evaluate("agreed(['v1'])") == ["v1", "permessage-deflate"]
    assert tab.evaluate("agreed([])") == ["", "permessage-deflate"]


def test_close_codes_go_both_ways(browser: Browser) -> None:
    ends: list[BaseException] = []

    async def handler(connection) -> None:
        if connection.request.path == "/fail":
            raise RuntimeError("for the test")
        if connection.request.path == "/end":
            return
        try:
            await connection.receive()
        except BaseException as error:
            ends.append(error)
            raise

    with serve(handler, "ws://127.0.0.1:0", http=page, engine="epoll") as server:
        tab = browser.open(f"http://127.0.0.1:{server.addresses[0].port}/")
        assert tab.evaluate("closed('/fail')") == [1011, "the server has failed", True]
        assert tab.evaluate("closed('/end')") == [1000, "", True]
        assert tab.evaluate("closed('/', 4001, 'до свидания')") == [4001, "до свидания", True]
        tab.evaluate("(async () => { window.kept = open('/'); await kept.opened })()")
        server.close()
        assert tab.evaluate("kept.closed")[0] == 1001
    (first, *_) = ends
    assert isinstance(first, BrokenError)
    assert (first.close_code, first.close_reason) == (4001, "до свидания")


def test_a_page_that_is_left_is_1001(browser: Browser) -> None:
    ends: list[int | None] = []

    async def handler(connection) -> None:
        try:
            while True:
                await connection.receive()
        except EOFError as error:
            ends.append(error.close_code)  # type: ignore[attr-defined]

    with serve(handler, "ws://127.0.0.1:0", http=page, engine="epoll") as server:
        tab = browser.open(f"http://127.0.0.1:{server.addresses[0].port}/")
        tab.evaluate("(async () => { window.kept = open('/'); await kept.opened })()")
        tab.close()
        server.wait_idle(timeout=20)
    assert ends == [1001]


def test_the_example_shows_each_tab_what_every_tab_says(browser: Browser) -> None:
    """examples/browser_page.py"""
    example = Path(__file__).parents[2] / "examples" / "browser_page.py"
    with Program(sys.executable, str(example), "ws://127.0.0.1:0/lines") as server:
        assert server.process.stdout is not None
        url = server.process.stdout.readline().decode().strip()
        one, two = browser.open(url), browser.open(url)
        for tab in (one, two):
            tab.wait_for("socket.readyState === 1")
        two.type("input", "привет <b>\n")
        for tab in (one, two):
            tab.wait_for("document.querySelector('li')?.textContent === 'привет <b>'")
            assert tab.errors == []
        two.close()
        one.type("input", "alone\n")
        one.wait_for("document.querySelectorAll('li').length === 2")
        assert server.communicate() == b""
        assert server.wait() == 0, server.stderr_lines
        assert one.wait_for("document.title.startsWith('closed') && document.title") == "closed: 1001"


def test_a_foreign_page_gets_no_websocket_unless_its_origin_may(browser: Browser, tab: Page) -> None:
    origin = tab.evaluate("location.origin")
    ask = "refusal('ws://127.0.0.1:{}/')"
    with serve(echo, "ws://127.0.0.1:0", engine="epoll") as server:
        assert tab.evaluate(ask.format(server.addresses[0].port)) == "refused"
    with serve(echo, "ws://127.0.0.1:0", engine="epoll", origins=origin) as server:
        assert tab.evaluate(ask.format(server.addresses[0].port)) is None
    assert all("403" in text for text in tab.errors)


def test_over_tls_the_page_and_its_websocket_are_one_address(browser: Browser) -> None:
    at = "wss://127.0.0.1:0/chat"
    with serve(echo, at, http=page, engine="epoll", tls=TLS(cert=papers().cert)) as server:
        tab = browser.open(f"https://127.0.0.1:{server.addresses[0].port}/")
        assert tab.evaluate("echoed('secret')") == "secret"
        assert tab.evaluate("location.protocol") == "https:"
