"""Make the pictures of the chat's page: `make screenshots`. A host, guests with plain lines, and headless Chromium."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from support.browser import Browser, Page
from support.programs import PATIENCE, socketkit

IMAGES = Path(__file__).parent / "images"

ENGLISH = (
    ("lobby", "Maya", "Good morning! The new build is on the test machines."),
    ("lobby", "Maya", "Changes since yesterday: https://example.com/changes"),
    ("lobby", "Jonas", "Thanks. I will try it on the old router after lunch, the one that loses every tenth packet."),
    ("lobby", "Priya", "It reconnects here, and nothing was lost: I pulled the cable twice."),
    ("lobby", "Jonas", "/me plugs the cable back in"),
    ("lobby", "Li", "Does anybody still read this with nc? I do, and it works."),
    ("ops", "Li", "the certificate is renewed"),
    ("kitchen", "Priya", "there is cake"),
)
RUSSIAN = (
    ("lobby", "Майя", "Доброе утро! Новая сборка уже на тестовых машинах."),
    ("lobby", "Майя", "Что изменилось со вчера: https://example.com/changes"),
    ("lobby", "Иван", "Спасибо. После обеда попробую её на старом маршрутизаторе, он теряет каждый десятый пакет."),
    ("lobby", "Прия", "У меня связь восстанавливается, и ничего не потеряно: я дважды вынимала кабель."),
    ("lobby", "Иван", "/me вставляет кабель обратно"),
    ("lobby", "Лев", "Кто-нибудь ещё читает через nc? Я - да, и всё работает."),
    ("дежурные", "Лев", "сертификат продлён"),
    ("кухня", "Прия", "здесь торт"),
)


class Guest:
    """A guest with plain lines."""

    def __init__(self, port: int, name: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._file = self._socket.makefile("rb")
        self.says(f"/name {name}", f"you are {name} now")

    def says(self, line: str, answer: str) -> None:
        """Write a line, and wait for what it is answered by."""
        self._socket.sendall(f"/lang en\n{line}\n".encode())
        while answer not in self._file.readline().decode():
            pass


@contextlib.contextmanager
def talk(browser: Browser, language: str, scheme: str, name: str, width: int, height: int) -> Iterator[Page]:
    """A page in the middle of a conversation."""
    lines = ENGLISH if language == "en" else RUSSIAN
    host_name = "Olga" if language == "en" else "Ольга"
    command = ("chat", "host", "tcp://127.0.0.1:0", "--web", "127.0.0.1:0", "--name", host_name, "--lang", language)
    with socketkit(*command) as host:
        port = host.address().port
        assert port is not None
        page = browser.open()
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.resize(width, height, is_mobile=width < 500)
        page.go(host.wait_line("listening http").removeprefix("listening "))
        page.type("#name", f"{name}\n")
        page.wait_for("!document.querySelector('#chat').hidden")
        for room in dict.fromkeys(line[0] for line in lines if line[0] != "lobby"):
            page.type("#text", f"/join {room}\n")
            page.wait_for(f"document.querySelector('#title').textContent === '# {room}'")
        page.type("#text", "/join lobby\n")
        page.wait_for("document.querySelector('#title').textContent === '# lobby'")
        guests = {each: Guest(port, each) for each in dict.fromkeys(line[1] for line in lines)}
        for room, writer, text in lines:
            guest = guests[writer]
            if room != "lobby":
                guest.says(f"/join {room}", f"you are in {room} now")
            guest.says(f"{text}\n/who", "here: ")
        page.type("#text", ("It does. See you at four!" if language == "en" else "Работает. Увидимся в четыре!") + "\n")
        first = lines[0][1]
        guests[first].says(f"/msg {name} {'Coffee first?' if language == 'en' else 'Сначала кофе?'}\n/who", "here: ")
        page.wait_for("document.querySelectorAll('#rooms .is-unread').length === 2")
        page.wait_for("document.querySelector('#private .badge')")
        yield page
        page.close()


def main() -> None:
    """Write the pictures into docs/images."""
    IMAGES.mkdir(exist_ok=True)
    with Browser("--accept-lang=en-GB,ru", "--hide-scrollbars") as browser:
        with talk(browser, "en", "light", "Anna", 1000, 640) as page:
            page.screenshot(IMAGES / "chat-light.png")
        with talk(browser, "ru", "dark", "Анна", 1000, 640) as page:
            page.screenshot(IMAGES / "chat-dark-ru.png")
        with talk(browser, "en", "dark", "Anna", 360, 640) as page:
            page.screenshot(IMAGES / "chat-360.png")
        with talk(browser, "ru", "light", "Анна", 360, 640) as page:
            page.click("#open-side")
            page.wait_for("document.querySelector('#side').getBoundingClientRect().left === 0")
            page.screenshot(IMAGES / "chat-360-ru.png")


if __name__ == "__main__":
    main()
