"""A mailbox over IMAP (RFC 9051) in one page: lines, and in the middle of a line so many bytes.

A client that appends a message ends its line with `{310}`. When the server has answered `+`, 310 bytes follow, and then
the rest of the line. The server's answers hold messages in the same way. One mailbox, in memory, for any user.
"""

import re
import sys

from socketkit import Connection, serve

MAX_MESSAGE_SIZE = 10 * 1024 * 1024
TIMEOUT = 60.0

LITERAL = re.compile(rb"\{([0-9]{1,9})(\+?)\}$")
ITEMS = {b"RFC822": b"RFC822", b"BODY[]": b"BODY[]", b"BODY.PEEK[]": b"BODY[]"}

messages: list[bytes] = []


async def mailbox(client: Connection) -> None:
    """Answer one client, command by command."""
    await client.send(b"* OK ready\r\n")
    name = b""
    while name != b"LOGOUT":
        line, literals = await receive_command(client)
        tag, _, rest = line.partition(b" ")
        name, _, arguments = rest.partition(b" ")
        name = name.upper()
        outcome = b"OK done"
        try:
            answers = perform(name, arguments, literals)
        except LookupError as error:
            answers, outcome = [], b"NO " + str(error).encode()
        await client.send(b"".join([b"* " + answer + b"\r\n" for answer in answers]) + tag + b" " + outcome + b"\r\n")


async def receive_command(client: Connection) -> tuple[bytes, list[bytes]]:
    """Receive one command: its line without the literals, and the literals."""
    line = await client.receive_until(b"\r\n", max_size="8KiB", timeout=TIMEOUT)
    literals = []
    while found := LITERAL.search(line):
        size = int(found[1])
        if size > MAX_MESSAGE_SIZE:
            raise ValueError(f"a literal of {size} bytes is over {MAX_MESSAGE_SIZE}")
        if not found[2]:  # with a plus the client does not wait (RFC 7888)
            await client.send(b"+ go ahead\r\n")
        literals.append(await client.receive_exactly(size, timeout=TIMEOUT))
        line = line[: found.start()] + await client.receive_until(b"\r\n", max_size="8KiB", timeout=TIMEOUT)
    return line, literals


def perform(name: bytes, arguments: bytes, literals: list[bytes]) -> list[bytes]:
    """Perform a command; return its answers.

    Raises:
        LookupError: there is no such command, or no such message.
    """
    if name == b"CAPABILITY":
        return [b"CAPABILITY IMAP4rev1 LITERAL+"]
    if name in (b"SELECT", b"EXAMINE"):
        return [b"%d EXISTS" % len(messages), b"FLAGS (\\Seen)", b"OK [UIDVALIDITY 1] first"]
    if name == b"APPEND":
        messages.extend(literals)
        return []
    if name == b"FETCH":
        return [fetch(*arguments.split(b" ", 1))]
    if name == b"LOGOUT":
        return [b"BYE"]
    if name in (b"LOGIN", b"NOOP", b"CLOSE"):
        return []
    raise LookupError("unknown command")


def fetch(number: bytes, items: bytes = b"") -> bytes:
    """Return the answer that holds a message."""
    index, item = int(number) - 1 if number.isdigit() else -1, ITEMS.get(items.strip(b"()").upper())
    if not 0 <= index < len(messages) or item is None:
        raise LookupError("no such message or item")
    return b"%b FETCH (%b {%d}\r\n%b)" % (number, item, len(messages[index]), messages[index])


if __name__ == "__main__":
    serve(mailbox, *(sys.argv[1:] or ["tcp://localhost:1143"])).run()
