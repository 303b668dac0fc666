"""Look at the built site in headless Chromium: `make site-check`. A fault of any page is status 1.

Checked: no message in the console, nothing loaded from another host, no horizontal scroll at 360 px, text, menu and
language switch without JavaScript, a dark scheme where the system asks for one, one main heading, images with a text,
and that the search finds words and answers questions (`site_questions`) in both languages. Chromium is driven over its
DevTools protocol by our own WebSocket client.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path
from typing import Any

from site_questions import ENGLISH, RUSSIAN

from socketkit import BlockingConnection, connect

SITE = Path(__file__).parents[1] / "site"
SEEN = """JSON.stringify({
    width: document.documentElement.scrollWidth,
    headings: document.querySelectorAll("h1").length,
    text: document.querySelector("article") ? document.querySelector("article").innerText.trim().length : 0,
    menu: document.querySelectorAll("nav a[href]").length,
    languages: [...document.querySelectorAll("[hreflang]")].filter(a => a.tagName == "A").length,
    nameless: [...document.images].filter(image => !image.alt).length,
    broken: [...document.images].filter(image => image.complete && !image.naturalWidth).length,
    background: getComputedStyle(document.body).backgroundColor,
    language: document.documentElement.lang})"""
SEARCH = """new Promise(done => {
    const field = document.querySelector("[data-md-component=search-query]");
    field.focus(); field.value = WORD; field.dispatchEvent(new Event("input", {bubbles: true}));
    field.dispatchEvent(new KeyboardEvent("keyup", {bubbles: true}));
    const until = Date.now() + 15000;
    (function look() {
        const found = document.querySelectorAll(".md-search-result__link").length;
        found || Date.now() > until ? done(String(found)) : setTimeout(look, 50);
    })();
})"""

ASK = """(async () => {
    const config = JSON.parse(document.getElementById("__config").textContent);
    const worker = new Worker(new URL(config.search, location));
    const ask = (message) => new Promise((done) => {
        worker.onmessage = (event) => done(event.data);
        worker.postMessage(message);
    });
    const base = new URL(config.base + "/", location);
    const index = await (await fetch(new URL("search/search_index.json", base))).json();
    await ask({type: 0, data: {...index, options: {}}});
    const found = [];
    for (const question of QUESTIONS) {
        const {data} = await ask({type: 2, data: question});
        found.push(data.items.slice(0, 3).flatMap((page) => page.slice(0, 4).map((section) => section.location)));
    }
    return JSON.stringify(found);
})()"""
"""Questions to the search as the page sets it up: the addresses in the first three results of each."""


WORDS = (
    ("index.html", "broadcast"),
    ("index.html", "broadcasting messages"),
    ("ru/index.html", "полузакрытие"),
    ("ru/index.html", "сопрограммой"),
    ("ru/index.html", "надежностью"),
)
"""What the search must find: words as they stand, other forms of them, and е for ё."""


class Browser:
    """One tab of a Chromium."""

    def __init__(self, connection: BlockingConnection[Any]) -> None:
        self.connection, self.numbers, self.events = connection, itertools.count(1), []  # type: ignore[var-annotated]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol; its result."""
        number = next(self.numbers)
        self.connection.send({"id": number, "method": method, "params": parameters})
        while True:
            message = self.connection.receive(timeout=60)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])
            self.events.append(message)

    def open(self, url: str) -> list[str]:
        """Load a page; the messages of its console, and what it loads from elsewhere."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.connection.receive(timeout=60))
        return [fault for event in self.events if (fault := fault_of(event, url))]

    def evaluate(self, code: str) -> str:
        """The value of an expression, or of its promise."""
        result = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        return str(result["result"].get("value", result))


def fault_of(event: dict[str, Any], url: str) -> str:
    """What is wrong in an event of the browser, else nothing."""
    parameters, own = event.get("params", {}), url.split("/", 3)[2]
    match event["method"]:
        case "Log.entryAdded" if parameters["entry"].get("url", "").endswith("/sitemap.xml"):
            return ""  # the theme looks for one beside each page of another language, and does without
        case "Log.entryAdded":
            return f"console: {parameters['entry']['text']} {parameters['entry'].get('url', '')}"
        case "Runtime.exceptionThrown":
            return f"exception: {parameters['exceptionDetails']['text']}"
        case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
            return f"console: {parameters['args']}"
        case "Network.requestWillBeSent" if not parameters["request"]["url"].startswith(("data:", "blob:")):
            host = parameters["request"]["url"].split("/", 3)[2]
            return "" if host == own else f"loads from {host}"
    return ""


def look(browser: Browser, base: str, page: str) -> list[str]:
    """What is wrong with a page: narrow, dark, and without JavaScript."""
    faults = browser.open(base + page)
    seen = json.loads(browser.evaluate(SEEN))
    language = "ru" if page.startswith("ru/") else "en"
    wrong = {
        f"{seen['width']} px wide at 360": seen["width"] > 360,
        f"{seen['headings']} main headings": seen["headings"] != 1,
        f"an image without text ({seen['nameless']}) or file ({seen['broken']})": seen["nameless"] or seen["broken"],
        f"not dark: {seen['background']}": sum(map(int, seen["background"][4:-1].split(",")[:3])) > 200,
        f"the language is {seen['language']}": seen["language"] != language,
    }
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    faults += browser.open(base + page)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    plain = json.loads(browser.evaluate(SEEN))
    wrong |= {
        "no text without JavaScript": plain["text"] < seen["text"] * 0.9,
        "no menu without JavaScript": plain["menu"] < 20,
        "no other language without JavaScript": plain["languages"] < 2,
        f"{plain['width']} px wide at 360 without JavaScript": plain["width"] > 360,
    }
    return [*faults, *(text for text, is_wrong in wrong.items() if is_wrong)]


def check(browser: Browser, base: str) -> int:
    """Every page; the count of faults."""
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(f"{domain}.enable")
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    pages = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if path.name != "404.html")
    count = 0
    for page in pages:
        for fault in look(browser, base, page):
            print(f"{page}: {fault}")
            count += 1
    for page, word in WORDS:
        browser.open(base + page)
        if browser.evaluate(SEARCH.replace("WORD", json.dumps(word))) == "0":
            print(f"{page}: the search does not find {word}")
            count += 1
    for page, questions in (("index.html", ENGLISH), ("ru/index.html", RUSSIAN)):
        browser.open(base + page)
        asked = json.dumps([question for question, _ in questions])
        for (question, expected), found in zip(
            questions, json.loads(browser.evaluate(ASK.replace("QUESTIONS", asked))), strict=True
        ):
            if not any(place.removeprefix("ru/").startswith(expected) for place in found):
                print(f"{page}: asked {question!r}, the search finds {found}")
                count += 1
    print(f"{len(pages)} pages, {count} faults", file=sys.stderr)
    return count


def main() -> int:
    """Serve the site, start Chromium, check."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        print("skipped: chromium is not installed", file=sys.stderr)
        return 0
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, tempfile.TemporaryDirectory() as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [program, "--headless", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        command += ["--no-sandbox"] if os.getuid() == 0 else []
        chromium = subprocess.Popen([*command, "about:blank"], stderr=subprocess.PIPE, text=True)
        try:
            assert chromium.stderr is not None
            line = next(line for line in chromium.stderr if "DevTools listening on" in line)
            port = line.split(":")[2].partition("/")[0]
            threading.Thread(target=chromium.stderr.read, daemon=True).start()
            tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list"))
            url = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            with connect(f"{url}?max_size=64MiB", framing="json") as connection:
                return min(check(Browser(connection), f"http://127.0.0.1:{server.server_port}/"), 1)
        finally:
            chromium.terminate()
            chromium.wait()
            server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that logs nothing; a browser that leaves a page early is no fault."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file."""
        with contextlib.suppress(ConnectionError):
            super().copyfile(source, outputfile)

    def log_message(self, *_: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    sys.exit(main())
