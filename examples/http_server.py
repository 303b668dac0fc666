"""HTTP/1.1 in one page: a head of lines, then a body of so many bytes or in chunks (RFC 9112).

It answers each request with its body, in upper case, and keeps the connection. A body in chunks is answered in chunks.
"""

import sys
from collections.abc import AsyncIterator

from socketkit import Connection, EndOfStream, FrameTooLongError, TruncatedFrameError, serve

MAX_HEAD_SIZE = 16 * 1024
MAX_BODY_SIZE = 64 * 1024 * 1024
MAX_CHUNK_SIZE = 1024 * 1024
TIMEOUT = 60.0
END = b"\r\n"

Headers = dict[str, str]


class BadRequest(Exception):
    """The request cannot be understood, so nothing behind it can: the connection is closed after the answer."""


async def shout(client: Connection) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            method, headers = await receive_head(client)
            if headers.get("expect", "").lower() == "100-continue":
                await client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if headers.get("transfer-encoding", "").lower() == "chunked":
                await client.send(head(200, "Transfer-Encoding: chunked"))
                async for chunk in receive_chunks(client):
                    await client.send(b"%x\r\n%b\r\n" % (len(chunk), chunk.upper()))
                await client.send(b"0\r\n\r\n")
            else:
                body = (await receive_body(client, headers)).upper()
                await client.send(head(200, f"Content-Length: {len(body)}") + (b"" if method == "HEAD" else body))
            if headers.get("connection", "").lower() == "close":
                return
    except EndOfStream:
        pass  # between two requests
    except (BadRequest, FrameTooLongError, TruncatedFrameError) as error:
        await client.send(head(400, "Connection: close", "Content-Length: 0"))
        print(f"{client.peer}: {error}", file=sys.stderr)


async def receive_head(client: Connection) -> tuple[str, Headers]:
    """Receive a request line and its headers; return the method and the headers, by their names in lower case."""
    block = await client.receive_until(END + END, max_size=MAX_HEAD_SIZE, timeout=TIMEOUT)
    line, *fields = block.decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(f"{line!r} is no request line")
    headers: Headers = {}
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon or name != name.strip() or (name.lower() in headers and name.lower() in _ONCE):
            raise BadRequest(f"{field!r} is no header, or comes twice")
        headers[name.lower()] = value.strip()
    if "transfer-encoding" in headers and "content-length" in headers:
        raise BadRequest("both Transfer-Encoding and Content-Length (RFC 9112 section 6.3: an attack)")
    return words[0], headers


_ONCE = {"content-length", "transfer-encoding"}


async def receive_body(client: Connection, headers: Headers) -> bytes:
    """Receive a body whose size the headers give."""
    size = parse_size(headers.get("content-length", "0"), 10, MAX_BODY_SIZE)
    return await client.receive_exactly(size, timeout=TIMEOUT)


async def receive_chunks(client: Connection) -> AsyncIterator[bytes]:
    """Receive a body in chunks, chunk by chunk; then the trailers, which mean nothing here (RFC 9112 section 7.1)."""
    while True:
        line = await client.receive_until(END, max_size=MAX_HEAD_SIZE, timeout=TIMEOUT)
        size = parse_size(line.split(b";")[0].decode("latin-1").strip(), 16, MAX_CHUNK_SIZE)
        if not size:
            break
        yield await client.receive_exactly(size, timeout=TIMEOUT)
        if await client.receive_exactly(len(END), timeout=TIMEOUT) != END:
            raise BadRequest("a chunk is longer than its size")
    while await client.receive_until(END, max_size=MAX_HEAD_SIZE, timeout=TIMEOUT):
        pass


def parse_size(text: str, base: int, most: int) -> int:
    """Return a size that the client has sent."""
    if not text.isascii() or not text.isalnum():
        raise BadRequest(f"{text!r} is no size")
    try:
        size = int(text, base)
    except ValueError:
        raise BadRequest(f"{text!r} is no size") from None
    if size > most:
        raise BadRequest(f"{size} bytes are more than {most}")
    return size


def head(status: int, *fields: str) -> bytes:
    """Return the head of an answer."""
    reason = {200: "OK", 400: "Bad Request"}[status]
    return "\r\n".join([f"HTTP/1.1 {status} {reason}", *fields, "", ""]).encode()


if __name__ == "__main__":
    serve(shout, *(sys.argv[1:] or ["tcp://localhost:8080"])).run()
