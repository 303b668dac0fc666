"""A bot in a chat: it counts what is said, and answers `!count`; the protocol of the page in one page of Python.

    socketkit chat host --web http://localhost:8080
    python chat_bot.py ws://localhost:8080/ws

After a loss it comes back, asks for what it has missed by the last id that it has seen, and counts no line twice.
"""

import json
import sys
from collections import Counter
from typing import Any

from socketkit import Connection, Retry, connect

NAME = "counter"


class Bot:
    """What has been said, by whom; and where we were when the connection was lost."""

    def __init__(self) -> None:
        self.lines: Counter[str] = Counter()
        self.chat: str | None = None
        self.last_id = 0

    def hello(self) -> dict[str, Any]:
        """The first message of a connection."""
        hello: dict[str, Any] = {"type": "hello", "name": NAME}
        if self.chat is not None:
            hello |= {"chat": self.chat, "after": self.last_id}
        return hello

    def take(self, event: dict[str, Any]) -> str | None:
        """Look at an event; the answer, if there is one."""
        if event["type"] == "ready":
            self.chat = event["chat"]
        if event["type"] != "message" or event["name"] == NAME or (event["id"] or 0) <= self.last_id:
            return None
        self.last_id = event["id"] or self.last_id
        self.lines[event["name"]] += 1
        if event["text"] != "!count" or event.get("past"):
            return None
        return ", ".join(f"{name} {count}" for name, count in self.lines.most_common(5))


async def talk(connection: Connection[str], bot: Bot) -> None:
    """Take part over one connection, to its end."""
    await connection.send(json.dumps(bot.hello()))
    async for message in connection:
        answer = bot.take(json.loads(message))
        if answer is not None:
            await connection.send(json.dumps({"type": "line", "text": answer}))


async def main(address: str) -> None:
    """Come back after each loss."""
    bot = Bot()
    retry = Retry(attempts=1000, maximum=5.0)
    async for connection in connect(address, framing="lines", subprotocols="socketkit-chat.v1", retry=retry):
        await talk(connection, bot)


if __name__ == "__main__":
    import asyncio

    asyncio.run(main(sys.argv[1]))
