"""The chat's page in headless Chromium, beside guests with nc: what a person sees, and what the page may not do."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from socketkit import Address
from socketkit.apps.chat.store import Store
from support.browser import Browser, Page
from support.programs import Program, free_port, needs, socketkit

CHAT = "!document.querySelector('#chat').hidden"
LOG = "document.querySelector('#log')"
WATCH = (
    "window.violations = []; addEventListener('securitypolicyviolation', "
    "event => violations.push(`${event.violatedDirective} ${event.blockedURI}`));"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser("--lang=en-US") as one:
        yield one


@contextlib.contextmanager
def hosting(*arguments: str, web: str = "http://127.0.0.1:0") -> Iterator[tuple[Program, Address, str]]:
    """A host; its address for lines, and the page's."""
    with socketkit("chat", "host", "tcp://127.0.0.1:0", "--web", web, "--name", "Olga", *arguments) as host:
        yield host, host.address(), host.wait_line("listening http").removeprefix("listening ")


@contextlib.contextmanager
def nc(address: Address, name: str) -> Iterator[Program]:
    with Program(needs("nc"), str(address.host), str(address.port)) as guest:
        assert reads(guest).startswith("* welcome")
        says(guest, f"/name {name}")
        while reads(guest) != f"* you are {name} now":
            pass  # what was said before
        yield guest


def says(guest: Program, line: str) -> None:
    assert guest.process.stdin is not None
    guest.process.stdin.write(f"{line}\n".encode())
    guest.process.stdin.flush()


def reads(guest: Program) -> str:
    assert guest.process.stdout is not None
    line = guest.process.stdout.readline()
    assert isinstance(line, bytes)
    return line.decode().removesuffix("\n")


@contextlib.contextmanager
def page_of(browser: Browser, url: str, name: str | None = None) -> Iterator[Page]:
    """A tab with the page, in the chat under a name. At its end nothing was refused by its policy or went wrong."""
    page = browser.open()
    page.call("Emulation.setFocusEmulationEnabled", enabled=True)
    page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
    page.resize(1000, 700)
    page.go(url)
    if name is not None:
        page.type("#name", f"{name}\n")
        page.wait_for(CHAT)
    yield page
    assert page.evaluate("violations") == []
    assert page.errors == []
    assert page.evaluate("document.cookie") == ""
    page.close()


def shows(page: Page, text: str) -> None:
    """Wait until the log has this text."""
    page.wait_for(f"{LOG}.textContent.includes({json.dumps(text)})")


def texts(page: Page) -> list[str]:
    found: list[str] = page.evaluate(f"[...{LOG}.querySelectorAll('.message .text')].map(each => each.textContent)")
    return found


def texts_of(selector: str) -> str:
    return f"[...document.querySelectorAll('{selector}')].map(each => each.textContent.trim())"


def test_two_browsers_and_nc_talk(browser: Browser) -> None:
    """Markup that somebody writes stays text, in lines and in what asks for a name."""
    with hosting() as (_, address, url), page_of(browser, url, "Анна") as anna, nc(address, "Bob") as bob:
        with Browser() as another, page_of(another, url, "<script>alert(1)</script>") as guest:
            shows(anna, "guest3 has joined")
            shows(guest, "does not begin with a letter or a figure")  # such a name is refused
            shows(guest, "the name")
            says(bob, "<img src=x onerror=alert(1)> & <b>bold</b> https://example.com/a?b=<c>.")
            for page in (anna, guest):
                shows(page, "<img src=x onerror=alert(1)> & <b>bold</b>")
                assert page.evaluate(f"{LOG}.querySelectorAll('img, b b, script').length") == 0
                assert page.evaluate(f"{LOG}.querySelector('a').href") == "https://example.com/a?b="
            anna.type("#text", "привет всем\n")
            shows(guest, "привет всем")
            guest.type("#text", "/me waves\n")
            shows(anna, "waves")
            assert [reads(bob), reads(bob)] == ["* guest3 has joined", "Анна: привет всем"]
            assert reads(bob) == "~ guest3 waves"
            anna.click("#people button[data-key=Bob]")
            anna.type("#text", "psst\n")
            shows(anna, "psst")
            assert reads(bob) == "Анна (private): psst"
            says(bob, "/msg Анна yes?")
            shows(anna, "yes?")
            assert "yes?" not in guest.evaluate("document.body.innerText")
        shows(anna, "yes?")


def test_room_of_many(browser: Browser) -> None:
    """The page is told the first thousand names, and the number of all: also when one leaves that it was not told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2500:
        pytest.skip(f"needs 2500 descriptors, and {hard} are allowed (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2500), hard))
    count = "document.querySelector('#people-count').textContent"
    with contextlib.ExitStack() as stack:
        _, address, url = stack.enter_context(hosting("--max-guests", "1200"))
        guests = [stack.enter_context(socket.create_connection((address.host, address.port))) for _ in range(1100)]
        for each in guests:
            assert each.recv(9)  # it is in
        anna = stack.enter_context(page_of(browser, url, "Anna"))
        anna.wait_for(f"{count} === '1102'")
        assert anna.evaluate("document.querySelector('#people .rest').textContent").startswith("and 902 ")
        guests[-1].close()
        anna.wait_for(f"{count} === '1101'")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_reload_keeps_the_room(browser: Browser) -> None:
    """And the name, without a form in between; the others are shown that the guest is here once."""
    with hosting() as (_, address, url), page_of(browser, url, "Anna") as anna:
        anna.type("#text", "/join tea\n")
        anna.wait_for("document.querySelector('#title').textContent === '# tea'")
        anna.type("#text", "hot\n")
        shows(anna, "hot")
        anna.go(url)
        anna.wait_for(f"{CHAT} && document.querySelector('#title').textContent === '# tea'")
        shows(anna, "hot")
        assert anna.evaluate(texts_of("#people .label")) == ["Anna"]
        with nc(address, "Bob") as bob:
            says(bob, "/rooms")
            assert reads(bob) == "* rooms: lobby (2), tea (1)"


def test_restart_of_the_host_brings_the_missed_lines(browser: Browser, tmp_path: Path) -> None:
    """By their ids: each once, in order. What was typed meanwhile, or may have been lost, is in the field."""
    port = free_port()
    web = f"http://127.0.0.1:{port}"
    store = ("--store", str(tmp_path / "chat.db"))
    with contextlib.ExitStack() as pages:
        with hosting(*store, web=web) as (host, address, url), nc(address, "Bob") as bob:
            anna = pages.enter_context(page_of(browser, url, "Anna"))
            for number in range(3):
                says(bob, f"before {number}")
            shows(anna, "before 2")
            host.process.send_signal(signal.SIGSTOP)
            anna.type("#text", "perhaps lost\n")
            host.stop(signal.SIGKILL)
        anna.wait_for("document.querySelector('#status').textContent.startsWith('The connection was lost')")
        anna.type("#text", "not yet sent\n")
        assert anna.evaluate("document.querySelector('#text').value") == "not yet sent"
        with hosting(*store) as (_, address, url), nc(address, "Bob") as bob:  # the page cannot reach this one
            for number in range(80):
                says(bob, f"missed {number}")
            says(bob, "bye")
            while not reads(bob).startswith("* goodbye"):
                pass
        with hosting(*store, web=web) as (_, address, url), nc(address, "Bob") as bob:
            anna.wait_for("document.querySelector('#status').textContent.includes('may not have arrived')")
            says(bob, "after")
            shows(anna, "after")
            expected = [*(f"before {n}" for n in range(3)), *(f"missed {n}" for n in range(80)), "after"]
            assert texts(anna) == expected
            assert anna.evaluate("document.querySelector('#text').value") == "perhaps lost\nnot yet sent"


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_5000_lines_scroll(browser: Browser, tmp_path: Path) -> None:
    """However long the history is, the page holds a few screens of it, and no step of scrolling takes long."""
    path = tmp_path / "chat.db"
    Store(str(path)).close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = [
            (n, 1.7e9 + n * 60, "lobby", f"guest{n % 7}", "say", f"line {n} " + "word " * (60 * (n % 50 == 0)))
            for n in range(1, 5001)
        ]
        database.executemany("INSERT INTO messages (id, at, room, name, kind, text) VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.commit()
    with hosting("--store", str(path)) as (_, _address, url), page_of(browser, url, "Anna") as anna:
        shows(anna, "line 5000")
        anna.call("Performance.enable", timeDomain="threadTicks")  # the time of others on this machine does not count
        found = anna.evaluate(
            """(async () => {
              const log = document.querySelector('#log'), most = {rows: 0, nodes: 0}, seen = new Set();
              const frame = () => new Promise(requestAnimationFrame);
              const look = () => {
                most.rows = Math.max(most.rows, log.children.length);
                most.nodes = Math.max(most.nodes, log.querySelectorAll('*').length);
                for (const each of log.querySelectorAll('.message .text')) seen.add(each.textContent);
              };
              let jumps = 0, frames = 0;
              while (!log.textContent.includes('This is the beginning')) {
                const first = log.querySelector('.message'), before = first.getBoundingClientRect().top;
                log.scrollTop -= 2000; frames++;
                await frame(); look();
                const moved = first.isConnected ? first.getBoundingClientRect().top - before : 0;
                if (moved < -1 || moved > 2001) jumps += 1;
              }
              const up = seen.size;
              for (let count = 0; count < 20; count++) { log.scrollTop += 2000; await frame(); look(); }
              return {...most, jumps, up, down: log.scrollTop, frames};
            })()""",
            timeout=100,
        )
        assert found["up"] == 5000 and found["down"] > 2000
        assert found["rows"] <= 160 and found["nodes"] < 2000
        assert found["jumps"] == 0  # what is in view stays there while rows come above it
        metrics = {each["name"]: each["value"] for each in anna.call("Performance.getMetrics")["metrics"]}
        assert metrics["TaskDuration"] / found["frames"] < 0.1  # seconds for three screens; mostly a fifth of it
        assert anna.evaluate("document.querySelector('#to-end').hidden") is False
        anna.click("#to-end")
        anna.wait_for("document.querySelector('#to-end').hidden")


def test_unread_marks(browser: Browser) -> None:
    """A room that was left, a private line, and lines below what is in view are marked, in the title too."""
    with hosting() as (_, address, url), page_of(browser, url, "Anna") as anna, nc(address, "Bob") as bob:
        says(bob, "hello")
        shows(anna, "hello")
        anna.type("#text", "/join tea\n")
        anna.wait_for("document.querySelector('#title').textContent === '# tea'")
        says(bob, "are you there?")
        anna.wait_for("document.querySelector('#rooms button[data-key=lobby]').classList.contains('is-unread')")
        says(bob, "/msg Anna psst")
        anna.wait_for("document.querySelector('#private .badge')?.textContent === '1'")
        assert anna.evaluate("document.title") == "(1) tea · Chat"
        anna.click("#private button")
        shows(anna, "psst")
        anna.wait_for("document.title === 'Bob · Chat'")
        anna.click("#rooms button[data-key=lobby]")
        shows(anna, "are you there?")
        for number in range(60):
            says(bob, f"line {number}")
        shows(anna, "line 59")
        anna.evaluate(f"{LOG}.scrollTop = 0")
        anna.wait_for("!document.querySelector('#to-end').hidden")
        says(bob, "below")
        anna.wait_for("document.querySelector('#to-end').textContent === '↓ 1 new message'")
        anna.click("#to-end")
        anna.wait_for(f"{LOG}.querySelector('.new-line') && document.title === 'lobby · Chat'")


def test_narrow_page_has_no_horizontal_scrolling(browser: Browser) -> None:
    """At 360 px, in both languages, with long words and names, with the side open and closed."""
    with hosting() as (_, address, url), page_of(browser, url) as anna, nc(address, "B" * 24) as bob:
        anna.resize(360, 640, is_mobile=True)
        width = "document.documentElement.scrollWidth <= 360 && document.body.scrollWidth <= 360"
        assert anna.evaluate(width)
        anna.type("#name", "А" * 24 + "\n")
        anna.wait_for(CHAT)
        says(bob, "x" * 3000)
        shows(anna, "x" * 3000)
        for _ in range(2):
            assert anna.evaluate(f"{width} && {LOG}.scrollWidth <= {LOG}.clientWidth")
            anna.click("#open-side")
            anna.wait_for("document.querySelector('#side').getBoundingClientRect().left === 0")
            assert anna.evaluate(width)
            anna.click("#side .language")
            anna.click("#close-side")
            anna.wait_for("document.querySelector('#side').getBoundingClientRect().right <= 0")
        small = "[...document.querySelectorAll('button, input, textarea')].filter(each => each.checkVisibility())"
        assert anna.evaluate(f"{small}.filter(each => each.getBoundingClientRect().right > 360).length") == 0


CONTRAST = """(() => {
  const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const rgb = colours => { canvas.clearRect(0, 0, 1, 1); for (const each of colours) { canvas.fillStyle = each;
    canvas.fillRect(0, 0, 1, 1); } return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const poor = [];
  for (const each of document.querySelectorAll('body *')) {
    const hasText = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!hasText || !each.checkVisibility() || each.closest('.hidden, script, noscript, .skip')) continue;
    const grounds = [];
    for (let at = each; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
    const one = light(rgb(['white', ...grounds]));
    const other = light(rgb(['white', ...grounds, getComputedStyle(each).color]));
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push(`${each.className || each.id || each.tagName}: ${ratio.toFixed(2)}`);
  }
  return poor;
})()"""


def test_dark_and_light_are_readable(browser: Browser) -> None:
    """Each text has a contrast of 4.5 (WCAG 2.2, 1.4.3), in both schemes; the page follows the browser's."""
    with hosting() as (_, address, url), page_of(browser, url) as anna, nc(address, "Bob") as bob:
        grounds = []
        for scheme in ("light", "dark"):
            anna.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            if anna.evaluate(CHAT) is False:
                assert anna.evaluate(CONTRAST) == []
                anna.type("#name", "Anna\n")
                anna.wait_for(CHAT)
            anna.type("#text", "/me waves\nhello\n/help\n/msg Bob hi\n/search hello\n")
            for name in ("Carol", "Dora", "Eva", "Fred", "Gina", "Hugo", "Ina", "Jan", "Kim", "Lena", "Mona", "Nina"):
                says(bob, f"/name {name}")
                says(bob, f"I am {name}")
            says(bob, "/name Bob")
            shows(anna, "Nina is Bob now")
            assert anna.evaluate(CONTRAST) == []
            red, green, blue = re.findall(r"\d+", anna.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
            grounds.append(int(red) + int(green) + int(blue))
        assert grounds[0] > 600 and grounds[1] < 150


def press(page: Page, key: str, **more: Any) -> None:
    codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}
    text = {"Enter": "\r"}.get(key, "")
    common = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key], **more}
    page.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
    page.call("Input.dispatchKeyEvent", type="keyUp", **common)


def focus(page: Page) -> str:
    found: str = page.evaluate("document.activeElement.id || document.activeElement.dataset.key || '?'")
    return found


def test_keyboard_alone(browser: Browser) -> None:
    """From the form to a room, a private line and back, with each stop visible."""
    with hosting() as (_, address, url), page_of(browser, url) as anna, nc(address, "Bob") as bob:
        assert focus(anna) == "name"
        anna.call("Input.insertText", text="Anna")
        press(anna, "Enter")
        anna.wait_for(CHAT)
        anna.wait_for("document.activeElement.id === 'text'")
        stops = []
        for _ in range(40):
            press(anna, "Tab")
            stops.append(focus(anna))
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert anna.evaluate(f"document.activeElement === document.body || {outline} !== 'none'"), stops
            if stops[-1] == "text":
                break
        assert {"lobby", "room-name", "Bob", "Olga", "own-name", "leave", "search", "log"} <= set(stops)
        while focus(anna) != "room-name":
            press(anna, "Tab")
        anna.call("Input.insertText", text="tea")
        press(anna, "Enter")
        anna.wait_for("document.querySelector('#title').textContent === '# tea'")
        press(anna, "ArrowUp", modifiers=1)  # Alt
        anna.wait_for("document.querySelector('#title').textContent === '# lobby'")
        while focus(anna) != "Bob":
            press(anna, "Tab")
        press(anna, "Enter")
        anna.wait_for("document.querySelector('#title').textContent === 'Bob'")
        press(anna, "Escape")
        assert focus(anna) == "text"
        anna.call("Input.insertText", text="by keys")
        press(anna, "Enter")
        while "by keys" not in (line := reads(bob)):
            pass
        assert line == "Anna (private): by keys"


def test_roles_and_names_for_screen_readers(browser: Browser) -> None:
    """New lines are in a live log, and history is not read out; each control has a name."""
    with hosting("--lang", "ru") as (_, _address, url), page_of(browser, url, "Anna") as anna:
        anna.type("#text", "привет\n")
        shows(anna, "привет")
        nodes = anna.call("Accessibility.getFullAXTree")["nodes"]
        found = {
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"] and "role" in node
        }
        assert {("log", "Сообщения"), ("textbox", "Сообщение"), ("searchbox", "Поиск в этой комнате")} <= found
        assert {("button", "Отправить"), ("complementary", "Комнаты и участники"), ("list", "Комнаты")} <= found
        controls = {"button", "textbox", "searchbox", "link", "list", "navigation", "form"}
        assert [each for each in found if each[0] in controls - {"form"} and not each[1]] == []
        assert anna.evaluate("document.documentElement.lang") == "ru"
        anna.wait_for(f"{LOG}.getAttribute('aria-live') === 'polite'")


def test_password_is_given_once(browser: Browser, tmp_path: Path) -> None:
    """A wrong one is told; a page that is loaded anew has a token, and nowhere the password."""
    secret = tmp_path / "password"
    secret.write_text("open sesame\n")
    with hosting("--password-file", str(secret)) as (_, _address, url), page_of(browser, url) as anna:
        anna.type("#name", "Anna\n")
        anna.wait_for("document.activeElement.id === 'password'")
        anna.type("#password", "guess\n")
        anna.wait_for("document.querySelector('#entry-status').textContent === 'the password is wrong'")
        anna.type("#password", "open sesame\n")
        anna.wait_for(CHAT)
        anna.go(url)
        anna.wait_for(CHAT)
        assert "sesame" not in anna.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
        anna.type("#text", "bye\n")
        anna.wait_for("document.querySelector('#entry-status').textContent === 'goodbye, Anna'")
