"""The examples that mix lines and counted bytes, against programs that nobody here wrote."""

from __future__ import annotations

import http.client
import imaplib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from socketkit import Retry, TruncatedFrameError, connect, serve
from support.modules import load_file
from support.programs import PATIENCE, Program, free_port, needs

EXAMPLES = Path(__file__).parents[2] / "examples"
ANYTHING = bytes(range(256)) * 64 + b"\r\n$3\r\n"


def example(name: str):
    """Return an example, as a fresh module."""
    return load_file(EXAMPLES / f"{name}.py")


def run(*arguments: str, **options) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(arguments, capture_output=True, timeout=50, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done


def retry() -> Retry:
    """For a server that is starting."""
    return Retry(first=0.01, factor=1.0, deadline=PATIENCE)


@pytest.fixture(scope="module")
def redis_address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("redis")
    port = free_port()
    with Program(
        needs("redis-server"),
        *("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)),
        stdout=subprocess.DEVNULL,
    ):
        yield f"tcp://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin") or needs("mosquitto")
    folder, port = tmp_path_factory.mktemp("mosquitto"), free_port()
    (folder / "conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nlog_type all\n")
    with Program(program, "-c", str(folder / "conf")) as running:
        running.wait_line("running")
        yield port, running


class TestRedis:
    """RESP, against redis-server."""

    redis = example("redis_client")

    @pytest.fixture
    def connection(self, redis_address):
        with connect(redis_address, retry=retry()) as connection:
            yield connection

    def test_every_kind_of_reply(self, connection):
        ask = self.redis.ask
        assert ask(connection, b"PING") == "PONG"
        assert ask(connection, b"GET", b"nothing") is None
        assert ask(connection, b"DEL", b"list", b"key") >= 0
        assert ask(connection, b"SET", b"key", ANYTHING) == "OK"
        assert ask(connection, b"GET", b"key") == ANYTHING
        assert ask(connection, b"RPUSH", b"list", b"", b"a\r\nb", b"c") == 3
        assert ask(connection, b"LRANGE", b"list", b"0", b"-1") == [b"", b"a\r\nb", b"c"]
        assert ask(connection, b"BLPOP", b"nothing", b"0.01") is None
        with pytest.raises(self.redis.RedisError, match="WRONGTYPE"):
            ask(connection, b"GET", b"list")
        assert ask(connection, b"PING", b"again") == b"again"

    def test_large_values(self, connection):
        value = ANYTHING * 200
        assert self.redis.ask(connection, b"SET", b"large", value) == "OK"
        assert self.redis.ask(connection, b"GET", b"large") == value

    def test_pipeline(self, connection):
        """A thousand replies that come in a few reads, errors among them."""
        commands = [[b"SET", b"n%d" % number, b"x" * number] for number in range(500)]
        commands += [[b"GET", b"n%d" % number] for number in range(500)] + [[b"NONSENSE"]]
        *replies, last = self.redis.ask_many(connection, commands)
        assert replies == ["OK"] * 500 + [b"x" * number for number in range(500)]
        assert isinstance(last, self.redis.RedisError)

    def test_as_a_program(self, redis_address, connection):
        assert connection.is_closed is False
        done = run(sys.executable, str(EXAMPLES / "redis_client.py"), redis_address, "ECHO", "hello")
        assert done.stdout == b"b'hello'\n"

    def test_server_that_dies_in_a_value(self):
        async def server(client):
            await client.send(b"$10\r\nabc")

        with serve(server, "tcp://127.0.0.1:0", engine="epoll") as served, connect(served.addresses[0]) as connection:
            with pytest.raises(TruncatedFrameError, match=r"with 3 of 10 bytes"):
                self.redis.ask(connection, b"GET", b"key")


class TestImap:
    """Literals, against curl and Python's imaplib."""

    MESSAGE = b"Subject: test\r\n\r\nfirst {5}\r\n\r\nlast \xc3\xa4\r\n"

    @pytest.fixture
    def address(self):
        with serve(example("imap_server").mailbox, "tcp://127.0.0.1:0", engine="epoll") as server:
            yield server.addresses[0]

    def test_imaplib(self, address):
        with imaplib.IMAP4(address.host, address.port, timeout=PATIENCE) as client:
            assert client.login("user", "a secret")[0] == "OK"
            for message in (self.MESSAGE, b"", self.MESSAGE * 1000):
                assert client.append("INBOX", "", None, message)[0] == "OK"
            assert client.select() == ("OK", [b"3"])
            assert client.fetch("1", "(RFC822)")[1][0][1] == self.MESSAGE
            assert client.fetch("2", "(BODY[])")[1][0][1] == b""
            assert client.fetch("3", "(BODY.PEEK[])")[1][0][1] == self.MESSAGE * 1000
            assert client.fetch("4", "(RFC822)")[0] == "NO"

    def test_curl(self, address, tmp_path):
        curl = needs("curl")
        url = f"imap://user:secret@{address.host}:{address.port}/INBOX"
        (tmp_path / "message").write_bytes(self.MESSAGE)
        run(curl, "-sS", "--max-time", "30", "-T", str(tmp_path / "message"), url)
        assert run(curl, "-sS", "--max-time", "30", f"{url};MAILINDEX=1").stdout == self.MESSAGE

    def test_literal_without_waiting(self, address):
        """`{3+}`: the command and its literal in one packet (RFC 7888)."""
        with connect(address, framing="lines:crlf") as client:
            assert client.receive() == "* OK ready"
            client.send_many(["a APPEND INBOX {5+}", "abc", "", "b NOOP"])
            assert client.receive(timeout=PATIENCE) == "a OK done"
            assert client.receive(timeout=PATIENCE) == "b OK done"


class TestHttp:
    """Content-Length and chunks, against curl and Python's http.client."""

    @pytest.fixture
    def address(self):
        with serve(example("http_server").shout, "tcp://127.0.0.1:0", engine="epoll") as server:
            yield server.addresses[0]

    @pytest.mark.parametrize("size", [0, 1, 1000, 3 * 1024 * 1024])
    @pytest.mark.parametrize("header", [None, "Transfer-Encoding: chunked"])
    def test_curl_sends_a_body(self, address, tmp_path, size, header):
        """With a size and `Expect: 100-continue`, or in chunks."""
        body = (b"some text\r\n" * (size // 11 + 1))[:size]
        (tmp_path / "body").write_bytes(body)
        extra = [] if header is None else ["-H", header]
        url = f"http://{address.host}:{address.port}/"
        done = run(needs("curl"), "-sS", "--max-time", "30", *extra, "--data-binary", f"@{tmp_path / 'body'}", url)
        assert done.stdout == body.upper()

    def test_curl_keeps_the_connection(self, address):
        url = f"http://{address.host}:{address.port}/"
        done = run(needs("curl"), "-sS", "--max-time", "30", "-d", "abc", "-w", " %{num_connects} ", url, url, url)
        assert done.stdout == b"ABC 1 ABC 0 ABC 0 "

    def test_curl_asks_for_the_head(self, address):
        done = run(needs("curl"), "-sSI", "--max-time", "30", f"http://{address.host}:{address.port}/")
        assert done.stdout == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    def test_http_client_mixes_both(self, address):
        client = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE)
        try:
            for number in range(20):
                chunks = [b"a\r\n", b"0\r\n\r\n", b"x" * 5000]
                body = iter(chunks) if number % 2 else b"".join(chunks)
                client.request("POST", "/", body=body, encode_chunked=bool(number % 2), headers=_chunked(number))
                assert client.getresponse().read() == b"".join(chunks).upper()
        finally:
            client.close()

    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"nonsense\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            b"POST / HTTP/1.1\r\nX: " + b"y" * 20_000,
        ],
    )
    def test_bad_requests(self, address, request_bytes):
        """One answer, and the connection ends."""
        with socket.create_connection((address.host, address.port), timeout=PATIENCE) as peer:
            peer.sendall(request_bytes)
            peer.shutdown(socket.SHUT_WR)
            answer = b""
            while data := peer.recv(4096):
                answer += data
        assert answer == b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def _chunked(number: int) -> dict[str, str]:
    return {"Transfer-Encoding": "chunked"} if number % 2 else {}


class TestMqtt:
    """Packets, against the broker and the clients of mosquitto."""

    mqtt = example("mqtt_client")

    def test_publish_to_mosquitto_sub(self, broker):
        sub = needs("mosquitto_sub")
        port, log = broker
        with Program(sub, "-p", str(port), "-h", "127.0.0.1", "-t", "a/b", "-C", "2", "-N", "-i", "other") as other:
            assert other.process.stdout is not None
            log.wait_line("Sending SUBACK to other")
            with connect(f"tcp://127.0.0.1:{port}") as connection:
                self.mqtt.login(connection, "ours")
                self.mqtt.publish(connection, "a/b", b"small")
                self.mqtt.publish(connection, "a/b", ANYTHING)
            assert other.process.stdout.read() == b"small" + ANYTHING
            assert other.wait() == 0

    def test_receive_from_mosquitto_pub(self, broker, tmp_path):
        """Payloads whose sizes take one to three bytes."""
        pub = needs("mosquitto_pub")
        port, _ = broker
        with connect(f"tcp://127.0.0.1:{port}") as connection:
            self.mqtt.login(connection, "ours too")
            messages = self.mqtt.subscribe(connection, "c/#")
            for number, size in enumerate((0, 1, 200, 70_000)):
                payload = (ANYTHING * 5)[:size]
                (tmp_path / "payload").write_bytes(payload)
                run(pub, "-p", str(port), "-h", "127.0.0.1", "-t", f"c/{number}", "-f", str(tmp_path / "payload"))
                assert next(messages) == (f"c/{number}", payload)

    def test_both_programs(self, broker):
        port, _ = broker
        address, program = f"tcp://127.0.0.1:{port}", str(EXAMPLES / "mqtt_client.py")
        with Program(sys.executable, program, address, "subscribe", "d", "2") as subscriber:
            subscriber.wait_line("subscribed")
            for word in ("one", "two"):
                run(sys.executable, program, address, "publish", "d", word)
            assert subscriber.communicate() == b"d one\nd two\n"
            assert subscriber.wait() == 0
