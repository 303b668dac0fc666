"""What readers ask the search of the site, and error messages that they paste: `make site-check` asks all of it.

Each has the pages, or the beginnings of their addresses, one of which must be among the first three results.
"""

from __future__ import annotations

ENGLISH = (
    ("limit the size of a message", ("framings.html", "howto/messages.html", "reference/words.html#message")),
    ("how do I limit the size of a message?", ("framings.html", "howto/messages.html", "reference/words.html#message")),
    ("maximum message size", ("framings.html", "howto/messages.html", "reference/words.html#message")),
    ("slow reader", ("reference/words.html#back", "serving.html")),
    ("what happens to a slow reader?", ("reference/words.html#back", "serving.html")),
    ("slow client", ("reference/words.html#back", "serving.html")),
    ("who is connected", ("howto/servers.html#how-do-i-see-who", "reference/words.html#who")),
    ("how do I see who is connected?", ("howto/servers.html#how-do-i-see-who", "reference/words.html#who")),
    ("list connections", ("howto/servers.html#how-do-i-see-who", "reference/words.html#who")),
    ("serve on two addresses", ("reference/words.html#listen", "howto/servers.html#how-do-i-serve-tcp")),
    (
        "how do I serve on two addresses at once?",
        ("reference/words.html#listen", "howto/servers.html#how-do-i-serve-tcp"),
    ),
    ("peer is dead", ("reference/words.html#dead", "connecting.html#a-peer")),
    ("how do I find out that the peer is dead?", ("reference/words.html#dead", "connecting.html#a-peer")),
    ("keepalive", ("reference/words.html#dead", "connecting.html#a-peer", "addresses.html#options")),
    ("heartbeat", ("reference/words.html#dead", "connecting.html#a-peer")),
    ("UDP server without connections", ("reference/words.html#datagram", "datagrams.html")),
    ("unix socket permissions", ("reference/words.html#permissions", "addresses.html#unix")),
    ("SIGTERM", ("reference/words.html#graceful", "howto/operation.html", "serving.html#shutdown")),
    ("graceful shutdown", ("reference/words.html#graceful", "howto/operation.html", "serving.html#shutdown")),
    ("graceful stop at SIGTERM", ("reference/words.html#graceful", "howto/operation.html", "serving.html#shutdown")),
    ("how fast is it against uvloop", ("speed.html", "reference/words.html#speed")),
    ("benchmark", ("speed.html", "reference/words.html#speed")),
    ("what does exit status 3 mean?", ("reference/command.html#exit", "reference/words.html#exit")),
    ("exit code", ("reference/command.html#exit", "reference/words.html#exit")),
    ("exit status 3", ("reference/command.html#exit", "reference/words.html#exit")),
    ("installation", ("install.html",)),
    ("pip install", ("install.html",)),
    ("pipx", ("install.html",)),
    ("shell completion", ("install.html", "reference/words.html#install")),
    ("mTLS", ("howto/security.html", "reference/words.html#mutual", "errors/client")),
    ("mutual TLS", ("howto/security.html", "reference/words.html#mutual", "errors/client")),
    ("self-signed certificate", ("howto/security.html", "reference/words.html#cert")),
    ("self-made certificate", ("howto/security.html", "errors/certificate", "reference/words.html#cert")),
    ("JSON-RPC", ("howto/messages.html#how-do-i-write-a-json-rpc",)),
    ("keyboard", ("howto/clients.html#how-do-i-read", "reference/words.html#chat")),
    (
        "read standard input and socket at the same time",
        ("howto/clients.html#how-do-i-read", "reference/words.html#chat"),
    ),
    ("reconnect", ("howto/clients.html#how-do-i-stay", "connecting.html", "reference/words.html#reconnect")),
    (
        "resubscribe after reconnect",
        ("howto/clients.html#how-do-i-stay", "connecting.html", "reference/words.html#reconnect"),
    ),
    ("wait for postgres", ("waiting.html", "howto/shell.html", "reference/words.html#wait")),
    ("entrypoint", ("waiting.html", "howto/shell.html")),
    ("type hints mypy", ("typing.html",)),
    ("backpressure", ("reference/words.html#back", "serving.html#limits")),
    ("the connection with tcp://127.0.0.1:59908 was closed at this end", ("errors/closed",)),
    (
        "json: JSON is malformed: object keys must be strings (byte 1) (json takes one value a line; values "
        "over several lines are json-stream) in the line at offset 0",
        ("errors/not-json",),
    ),
    (
        "lines:max_size=10B: a frame of 100 bytes at offset 0 is over max_size=10B (10 bytes); allow it with "
        "max_size=, or pass it over with oversize=skip or truncate",
        ("errors/too-long",),
    ),
    (
        "address 'tcp:/localhost:1': 'tcp:' is not followed by '//'; did you mean 'tcp://localhost:1'?",
        ("errors/bad-address",),
    ),
    (
        "address 'localhost': 'localhost' has no port; allowed is host:port, with a port from 0 to 65535",
        ("errors/bad-address",),
    ),
    (
        "tcp://nohost.invalid:1: the name 'nohost.invalid' was not resolved: Name or service not known",
        ("errors/unknown-name",),
    ),
    (
        "unknown framing 'line' (did you mean lines?); allowed are chunks, lines, delimited, fixed, length, "
        "varint, netstring",
        ("errors/bad-option",),
    ),
    ("tcp://localhost:5000 has ended the conversation", ("errors/ended",)),
    (
        "lines sends str: sequence item 0: expected str instance, bytes found; use encoding=none for bytes",
        ("errors/not-sendable",),
    ),
    (
        "lines: message 0 contains the end of a line, '\\n'; split it, or use a framing that counts bytes "
        "(netstring, length); nothing was encoded",
        ("errors/not-sendable",),
    ),
    (
        "cannot listen at unix:///nodir/x: No such file or directory (ENOENT); the folder does not exist",
        ("errors/no-file",),
    ),
    ("this thread runs an async engine, which a blocking wait would stop: use `async with`", ("errors/blocking",)),
    ("receiving from unix://unnamed: no message within 0.01 s", ("errors/deadline",)),
    (
        "TLS handshake with tls://127.0.0.1:5010: the peer's certificate is refused: self-signed certificate: "
        "trust its authority (ca=FILE), or its key alone "
        "(pin=sha256:4e4b1f23fea9b3d5f92695ce15cecfed164e31d02c25a32152a0a344e5586ea7)",
        ("errors/certificate",),
    ),
    (
        "TLS handshake with tls://127.0.0.1:5010: the peer refused: certificate required: it requires a "
        "certificate of ours (cert=FILE, key=FILE)",
        ("errors/client-certificate",),
    ),
    (
        "cannot connect to tcp://127.0.0.1:5020: Connection refused (ECONNREFUSED): nobody listens there; it "
        "is tried again",
        ("errors/refused",),
    ),
    (
        "cannot listen at tcp://127.0.0.1:5020: Address already in use (EADDRINUSE); a listener uses the port, "
        "or a connection that is open or was closed a moment ago",
        ("errors/in-use",),
    ),
    ("receiving from tcp://127.0.0.1:34637: Connection reset by peer (ECONNRESET)", ("errors/reset",)),
    ("Broken pipe", ("errors/broken-pipe",)),
)

RUSSIAN = (
    ("как ограничить размер сообщения?", ("framings.html", "howto/messages.html", "reference/words.html#message")),
    ("предел размера сообщения", ("framings.html", "howto/messages.html", "reference/words.html#message")),
    ("максимальный размер сообщения", ("framings.html", "howto/messages.html", "reference/words.html#message")),
    ("медленный клиент", ("reference/words.html#back", "serving.html")),
    ("что будет с медленным читателем", ("reference/words.html#back", "serving.html")),
    ("клиент не читает", ("reference/words.html#back", "serving.html", "chat.html")),
    ("кто подключён", ("howto/servers.html#how-do-i-see-who", "reference/words.html#who")),
    ("как узнать, кто подключен?", ("howto/servers.html#how-do-i-see-who", "reference/words.html#who")),
    ("слушать два адреса", ("reference/words.html#listen", "howto/servers.html#how-do-i-serve-tcp")),
    ("собеседник пропал", ("reference/words.html#dead", "connecting.html#a-peer")),
    ("как узнать, что собеседник умер", ("reference/words.html#dead", "connecting.html#a-peer")),
    ("UDP без соединения", ("reference/words.html#datagram", "datagrams.html")),
    ("права на сокет UNIX", ("reference/words.html#permissions", "addresses.html#unix")),
    (
        "плавная остановка",
        ("reference/words.html#graceful", "howto/operation.html", "serving.html#shutdown", "draining.html"),
    ),
    ("скорость asyncio uvloop", ("speed.html", "reference/words.html#speed")),
    ("код завершения 3", ("reference/command.html#exit", "reference/words.html#exit")),
    ("код возврата", ("reference/command.html#exit", "reference/words.html#exit")),
    ("установка", ("install.html",)),
    ("переподключение", ("howto/clients.html#how-do-i-stay", "connecting.html", "reference/words.html#reconnect")),
    ("таймаут", ("reference/words.html#deadline", "errors/deadline")),
    ("корутина", ("reference/words.html#coroutine",)),
    ("самоподписанный сертификат", ("howto/security.html", "reference/words.html#cert")),
    ("взаимный TLS", ("howto/security.html", "reference/words.html#mutual")),
    ("читать клавиатуру", ("howto/clients.html#how-do-i-read", "reference/words.html#chat")),
    ("Connection refused", ("errors/refused",)),
    ("Address already in use (EADDRINUSE)", ("errors/in-use",)),
    ("was closed at this end", ("errors/closed",)),
    ("JSON is malformed", ("errors/not-json",)),
)
