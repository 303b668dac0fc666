"""Logs and metrics are made of events alone: complete, bounded, and without what peers say."""

from __future__ import annotations

import logging
import urllib.request

import pytest

from socketkit import serve
from socketkit.errors import BrokenError
from socketkit.events import (
    Accepted,
    AcceptPaused,
    AcceptResumed,
    Closed,
    DatagramDropped,
    HandlerFailed,
    Received,
    Refused,
    Sent,
    StoppedListening,
)
from socketkit.observe import EPISODE_SECONDS, LoggingObserver, combine
from support.connections import PATIENCE, ask, call, read_to_reset
from support.programs import echo_server

prometheus_client = pytest.importorskip("prometheus_client")

from socketkit.apps.metrics_endpoint import HEAD, scraper  # noqa: E402
from socketkit.metrics import PrometheusObserver  # noqa: E402


async def echo(connection):
    async for message in connection:
        if message == "fail":
            raise ZeroDivisionError
        await connection.send(message)


def test_a_conversation_in_a_log(caplog):
    caplog.set_level(logging.DEBUG, "my.server")
    with serve(
        echo, "tcp://127.0.0.1:0", framing="lines", engine="poll", observer=LoggingObserver("my.server")
    ) as server:
        with call(server.addresses[0]) as client:
            assert ask(client, b"the secret") == b"the secret"
            client.sendall(b"fail\n")
            assert read_to_reset(client) == b""
        server.wait_idle(timeout=PATIENCE)
    levels = {record.getMessage().split()[0]: record.levelname for record in caplog.records}
    assert levels["Accepted"] == "INFO"
    assert levels["Received"] == levels["Sent"] == "DEBUG"
    assert levels["HandlerFailed"] == "ERROR"
    assert levels["Closed"] == "WARNING"
    assert "secret" not in caplog.text
    accepted = next(record for record in caplog.records if isinstance(record.event, Accepted))
    assert f"local={server.addresses[0]} peer=tcp://127.0.0.1:" in accepted.getMessage()
    failed = next(record for record in caplog.records if isinstance(record.event, HandlerFailed))
    assert failed.exc_info[0] is ZeroDivisionError


def test_no_control_character_reaches_a_log(caplog):
    caplog.set_level(logging.DEBUG)
    LoggingObserver()(Closed(1, 0, 0, BrokenError("a\x1b[31m\nred")))
    (record,) = caplog.records
    assert record.getMessage().isprintable()


def test_levels_may_be_chosen(caplog):
    observer = LoggingObserver(levels={Closed: logging.CRITICAL})
    observer(Closed(1, 0, 0, BrokenError("lost")))
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


def refused(number):
    return Refused("tcp://a:1", f"tcp://b:{number}", "its network is denied (deny)")


def dropped(number):
    return DatagramDropped("udp://a:1", f"udp://b:{number}", 5, "its session is full", number)


@pytest.mark.parametrize("make", [refused, dropped])
def test_crowd_is_one_line_an_episode(caplog, make):
    """The first is a WARNING; the others of ten seconds are counted in one more line."""
    now = 100.0
    caplog.set_level(logging.INFO)
    observer = LoggingObserver(clock=lambda: now)
    for number in range(1000):
        observer(make(number))
        now += 0.001
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.records[0].event == make(0)
    now = 100.0 + EPISODE_SECONDS
    observer(make(1000))
    _, summary, following = caplog.records
    assert summary.getMessage() == f"{type(make(0)).__name__} local={make(0).local} more=999 seconds=10"
    assert (summary.levelname, summary.event) == ("WARNING", make(999))
    assert following.event == make(1000)


def test_episode_ends_with_listener(caplog):
    """The count is logged at the end of the listener, and a single event has no count."""
    caplog.set_level(logging.INFO)
    observer = LoggingObserver(clock=lambda: 0.0)
    for event in (refused(1), refused(2), StoppedListening("tcp://a:1"), refused(3), StoppedListening("tcp://a:1")):
        observer(event)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[0] for line in lines] == [
        "Refused", "Refused", "StoppedListening", "Refused", "StoppedListening",
    ]  # fmt: skip
    assert "more=1 " in lines[1]


def test_episode_is_complete_at_debug(caplog):
    caplog.set_level(logging.DEBUG)
    observer = LoggingObserver(clock=lambda: 0.0)
    for number in range(5):
        observer(refused(number))
    assert [record.levelname for record in caplog.records] == ["WARNING"] + ["DEBUG"] * 4


def test_raising_observer_spares_others(caplog):
    """Each observer that is combined gets every event, and the one that raises is logged once."""
    told = []

    def broken(event):
        raise ZeroDivisionError

    observer = combine(told.append, broken, told.append)
    for _ in range(2):
        observer(Closed(1, 0, 0, None))
    assert told == [Closed(1, 0, 0, None)] * 4
    assert len([record for record in caplog.records if "broken" in record.getMessage()]) == 1


def test_several_observers_are_one():
    told = []
    observer = combine(told.append, None, told.append)
    observer(Closed(1, 0, 0, None))
    assert told == [Closed(1, 0, 0, None)] * 2


@pytest.fixture
def counted():
    registry = prometheus_client.CollectorRegistry()
    observer = PrometheusObserver(registry)

    def value(name, **labels):
        return registry.get_sample_value(f"socketkit_{name}", labels)

    return observer, value


def test_counters_add_up(counted):
    observer, value = counted
    with serve(echo, "tcp://127.0.0.1:0", framing="lines", engine="poll", observer=observer) as server:
        with call(server.addresses[0]) as client:
            assert ask(client, b"hello") == b"hello"
            assert value("connections_active", side="accepted") == 1
            assert value("received_bytes_total") == 6
            client.sendall(b"fail\n")
            assert read_to_reset(client) == b""
        server.wait_idle(timeout=PATIENCE)
    assert value("connections_active", side="accepted") == 0
    assert value("connections_total", side="accepted") == 1
    assert value("connection_duration_seconds_count", side="accepted") == 1
    assert (value("received_bytes_total"), value("sent_bytes_total")) == (11, 6)
    assert value("handler_failures_total") == 1
    assert value("connection_errors_total", error="other") == 1


def test_labels_are_words_that_we_know(counted):
    observer, value = counted
    observer(Refused("tcp://a:1", "tcp://b:2", "3 conversations, and max_connections is 3"))
    observer(Refused("tcp://a:1", "tcp://b:2", "its network is denied (deny)"))
    observer(Refused("tcp://a:1", "tcp://b:2", "something new"))
    for limit in ("max_connections", "deny", "other"):
        assert value("refused_total", limit=limit) == 1


def test_dropped_datagrams_are_counted(counted):
    observer, value = counted
    for number in range(3):
        observer(dropped(number))
    assert value("datagrams_dropped_total") == 3


def test_undisplayed_bytes_counted(counted):
    """Bytes that were not shown are counted at the end."""
    observer, value = counted
    observer(Accepted(7, "tcp://a:1", "tcp://b:2"))
    observer(Received(7, b"12"))
    observer(Sent(7, b"1"))
    observer(Closed(7, 100, 50, None))
    assert (value("received_bytes_total"), value("sent_bytes_total")) == (100, 50)


def test_a_shortage_is_seen_while_it_lasts(counted):
    observer, value = counted
    observer(AcceptPaused("tcp://a:1", OSError(24, "")))
    assert value("accept_paused") == 1
    observer(AcceptResumed("tcp://a:1", 1.0))
    assert (value("accept_paused"), value("accept_pauses_total")) == (0, 1)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"200 OK"),
        (b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=x\r\n\r\n", b"200 OK"),
        (b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=\r\n\r\n", b"200 OK"),
        (b"GET /metrics HTTP/1.1\r\nAccept: ;;,=;q=\xff,\r\n\r\n", b"200 OK"),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", b"200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", b"405 Method Not Allowed"),
        (b"\0\0\0\r\n\r\n", b"400 Bad Request"),
    ],
)
def test_whoever_scrapes_is_answered(counted, request_, status):
    registry = prometheus_client.CollectorRegistry()
    PrometheusObserver(registry)
    with serve(scraper(registry), "tcp://127.0.0.1:0", framing=HEAD, engine="poll") as server:
        with call(server.addresses[0]) as client:
            client.sendall(request_)
            answer = b""
            while data := client.recv(65536):
                answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    if request_.startswith(b"GET /metrics"):
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"socketkit_connections_active" in body


def test_endless_request_head_is_dropped():
    """Who sends a head without end is not listened to."""
    registry = prometheus_client.CollectorRegistry()
    with serve(scraper(registry), "tcp://127.0.0.1:0", framing=HEAD, engine="poll") as server:
        with pytest.raises((ConnectionResetError, BrokenPipeError)), call(server.addresses[0]) as client:
            while True:
                client.sendall(b"x" * 1000)


def test_the_command_answers_a_real_client():
    with echo_server("--metrics", "tcp://127.0.0.1:0") as (server, address):
        with call(address) as client:
            assert ask(client, b"hello") == b"hello"
            url = server.wait_line("metrics at ").removeprefix("metrics at ")
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                text = answer.read().decode()
        assert 'socketkit_connections_active{side="accepted"} 1.0' in text
        assert "socketkit_received_bytes_total 6.0" in text
        assert server.stop() == 0


def test_scrape_registry_of_one_process_and_of_a_folder(tmp_path, monkeypatch):
    """Without the folder it is the global registry; a folder that is missing is an error."""
    from socketkit.metrics import REGISTRY, scrape_registry

    assert scrape_registry() is REGISTRY
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="PROMETHEUS_MULTIPROC_DIR"):
        scrape_registry()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert list(scrape_registry().collect()) == []
