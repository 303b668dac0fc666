"""Headless Chromium, driven by the DevTools protocol over a WebSocket of ours: open a page, evaluate, screenshots.

    with Browser() as browser:
        page = browser.open("http://127.0.0.1:8080/")
        page.wait_for("document.title === 'Chat'")
        page.type("#line", "hello\\n")
        assert page.evaluate("document.body.innerText") == "hello"

One thread drives one browser. The profile is a folder that is removed at the end. See
https://chromedevtools.github.io/devtools-protocol/ for the methods of `Page.call`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from socketkit import SocketkitError, connect
from support.programs import PATIENCE, Program, needs

__all__ = ["Browser", "Page", "PageError"]

_FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",  # containers have a small /dev/shm
    "--disable-extensions",
    "--disable-gpu",
    "--disable-renderer-backgrounding",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--password-store=basic",
    "--use-mock-keychain",
)


class PageError(AssertionError):
    """The browser has refused a method, or the page's script has raised."""


class Browser:
    """A browser of its own, with an empty profile.

    Args:
        flags: further flags of Chromium's command line.

    The test skips, and names the program, where Chromium is not installed.
    """

    def __init__(self, *flags: str) -> None:
        pytest.importorskip("h11", reason="the extra ws is not installed")
        self._profile = tempfile.mkdtemp(prefix="socketkit-chromium-")
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()  # it refuses to run as root with one
        self._program = Program(
            needs("chromium"),
            *_FLAGS,
            *sandbox,
            f"--user-data-dir={self._profile}",
            *flags,
            "about:blank",
            start_new_session=True,  # its helpers end with its process group
        )
        self._count = 0
        self._events: list[dict[str, Any]] = []
        try:
            url = self._program.wait_line("DevTools listening on ").partition("ws://")[2]
            self._connection = connect(f"ws://{url}", max_size="256MiB", compression="none", ping_interval=None).open()
        except BaseException:
            self._end()
            raise

    def open(self, url: str = "about:blank") -> Page:
        """Open a page in a new tab, and wait until it is loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        page.call("Page.enable")
        page.call("Runtime.enable")
        if url != "about:blank":
            page.go(url)
        return page

    def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method of DevTools; return its result. Events that come before it are kept."""
        self._count += 1
        request: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if session is not None:
            request["sessionId"] = session
        self._connection.send(json.dumps(request))
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                break
            self._events.append(answer)
        if "error" in answer:
            raise PageError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait_event(self, method: str, session: str | None = None) -> dict[str, Any]:
        """Wait for the next event of this name that was not waited for before; return its parameters."""
        at = 0
        while True:
            while at < len(self._events):
                event = self._events[at]
                if event.get("method") == method and event.get("sessionId") == session:
                    del self._events[at]
                    found: dict[str, Any] = event["params"]
                    return found
                at += 1
            self._events.append(self._receive())

    def taken_events(self, method: str, session: str | None = None) -> list[dict[str, Any]]:
        """Take the events of this name that have come so far; return their parameters."""
        found = [event for event in self._events if (event.get("method"), event.get("sessionId")) == (method, session)]
        self._events = [event for event in self._events if event not in found]
        return [event["params"] for event in found]

    def _receive(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._connection.receive(timeout=2 * PATIENCE))
        return answer

    def close(self) -> None:
        """End the browser and its helpers, and remove its profile."""
        try:
            self.call("Browser.close")
            self._connection.close()
            self._program.process.wait(PATIENCE / 2)
        except (SocketkitError, OSError, TimeoutError, PageError):
            self._connection.abort()
        finally:
            self._end()

    def _end(self) -> None:
        try:
            os.killpg(self._program.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._program.__exit__()
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Page:
    """A tab."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of DevTools for this tab; return its result."""
        return self._browser.call(method, session=self._session, **parameters)

    def go(self, url: str) -> None:
        """Navigate, and wait for the load event. Raises `PageError` where the page cannot be had."""
        self._browser.taken_events("Page.loadEventFired", self._session)
        answer = self.call("Page.navigate", url=url)
        if answer.get("errorText"):
            raise PageError(f"{url}: {answer['errorText']}")
        self._browser.wait_event("Page.loadEventFired", self._session)

    def evaluate(self, expression: str, *, timeout: float = PATIENCE) -> Any:
        """Return the value of a JavaScript expression, as JSON has it; a promise is waited for, `timeout` seconds.

        Raises:
            PageError: it has raised, was rejected, or the promise was not kept in time.
        """
        # The renderer's own timer bounds a promise; without a promise there is nothing to wait for.
        raced = (
            f"Promise.race([(async () => ({expression}\n))(), new Promise((_, reject) => "
            f"setTimeout(() => reject(new Error('not kept within {timeout:g} s')), {timeout * 1000:g}))])"
        )
        answer = self.call(
            "Runtime.evaluate", expression=raced, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            said = details.get("exception", {})
            raise PageError(f"{expression}: {said.get('description') or said.get('value') or details['text']}")
        return answer["result"].get("value")

    def wait_for(self, condition: str, *, timeout: float = PATIENCE) -> Any:
        """Wait until a JavaScript expression is true; return its value.

        Raises:
            PageError: it was not within `timeout` seconds; the text has what the page shows.
        """
        poll = (
            "new Promise(resolve => { const look = () => { let value = false; "
            f"try {{ value = ({condition}\n) }} catch (error) {{ }} "
            "if (value) resolve(value); else setTimeout(look, 20) }; look() })"
        )
        try:
            return self.evaluate(poll, timeout=timeout)
        except PageError as error:
            shown = self.evaluate("document.body ? document.body.innerText : ''")
            raise PageError(f"{condition}: {error}; the page shows {shown[:2000]!r}") from None

    def type(self, selector: str, text: str) -> None:
        """Give the element the focus, and type: each line feed is the Enter key."""
        self.wait_for(f"document.querySelector({json.dumps(selector)})?.focus() === undefined")
        for number, line in enumerate(text.split("\n")):
            if number:
                self.press("Enter", 13, "\r")
            if line:
                self.call("Input.insertText", text=line)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key: its name and its code as the DOM has them, and the text that it makes."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "nativeVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        """Click in the middle of an element, as soon as there is one."""
        place = self.wait_for(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)}); if (!found) return null; "
            "found.scrollIntoView({block: 'nearest'}); const box = found.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        common = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", **common)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **common)

    def resize(self, width: int, height: int, *, is_mobile: bool = False) -> None:
        """Give the tab a size in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_mobile
        )

    def screenshot(self, path: str | Path | None = None) -> bytes:
        """Return what the tab shows, as a PNG; write it to a file where one is given."""
        picture = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            Path(path).write_bytes(picture)
        return picture

    @property
    def errors(self) -> list[str]:
        """Uncaught errors of the page's scripts, and what it wrote by `console.error`, since the last look."""
        self.call("Runtime.evaluate", expression="0")  # what happened before has come before its answer
        session = self._session
        thrown = self._browser.taken_events("Runtime.exceptionThrown", session)
        said = self._browser.taken_events("Runtime.consoleAPICalled", session)
        return [
            event["exceptionDetails"].get("exception", {}).get("description", event["exceptionDetails"]["text"])
            for event in thrown
        ] + [
            " ".join(str(part.get("value", part.get("description"))) for part in event["args"])
            for event in said
            if event["type"] == "error"
        ]

    def close(self) -> None:
        """Close the tab: the page's sockets are closed as when somebody closes it."""
        self._browser.call("Target.closeTarget", targetId=self._target)
