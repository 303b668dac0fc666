"""TLS on the command line: curl's words, a pin that is told, one line and status 3 where the peer is not who it
should be, and no secret anywhere."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from socketkit import connect
from support.connections import PATIENCE
from support.programs import socketkit
from support.tls import papers


@pytest.fixture(scope="module")
def server():
    with socketkit("echo", "tls://127.0.0.1:0", "--cert", papers().cert) as server:
        yield server.address()


def test_there_and_back(server):
    with socketkit("connect", str(server), "--cacert", papers().ca, "-v") as client:
        assert client.communicate(b"hello\n") == b"hello\n"
        assert client.wait() == 0
        told = client.wait_line("TLSv1.3, ")
        assert "peer O=trustme" in told
        assert "pin sha256:" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "unable to get local issuer certificate: trust its authority (--cacert FILE)"),
        (("--cacert", "CA", "--server-name", "other.example"), "not valid for 'other.example'"),
        (("--pin", "sha256:" + "0" * 64), "another one than pinned"),
        (("--cacert", "CA", "--alpn", "h2"), "we offered h2"),
    ],
)
def test_unverified_peer_gets_no_data(server, arguments, told):
    """A peer who is not who it should be gets nothing."""
    given = [papers().ca if argument == "CA" else argument for argument in arguments]
    with socketkit("connect", str(server), *given) as client:
        assert client.communicate(b"a secret\n") == b""
        assert client.wait() == 3
        assert len(client.stderr_lines) == 1
        assert told in client.stderr_lines[0]
        assert "a secret" not in client.stderr_lines[0]


def test_insecure_asks_for_nothing(server):
    with socketkit("connect", str(server), "--insecure") as client:
        assert client.communicate(b"hello\n") == b"hello\n"


def test_tls_option_equals_tls_scheme(server):
    """A plain address with the option is the same."""
    with socketkit("connect", f"{server.host}:{server.port}", "--tls", "--cacert", papers().ca) as client:
        assert client.communicate(b"hello\n") == b"hello\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("connect", "tcp://127.0.0.1:9", "--insecure"),
        ("connect", "tcp://127.0.0.1:9", "--pin", "sha256:" + "0" * 64),
        ("echo", "tcp://127.0.0.1:0", "--self-signed"),
    ],
)
def test_option_without_effect_refused(arguments):
    """Whoever gives it believes that he is safe."""
    with socketkit(*arguments) as program:
        assert program.wait() == 2
        assert "does nothing without TLS: say tls://… or --tls" in program.stderr_lines[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("echo", "tls://127.0.0.1:0"),
        ("echo", "tls://127.0.0.1:0", "--cert", "/no/such/file"),
        ("echo", "tls://127.0.0.1:0", "--cert", papers().cert, "--require-client-cert"),
        ("connect", "tls://127.0.0.1:9", "--pin", "sha256:short"),
        ("connect", "tls://127.0.0.1:9?ca=%2Fno%2Fsuch%2Ffile"),
    ],
)
def test_unusable_certificates_are_usage_errors(arguments):
    """What cannot be used is a mistake of usage."""
    with socketkit(*arguments) as program:
        assert program.wait() == 2
        assert len(program.stderr_lines) == 1


def test_self_signed_pin_and_sighup():
    """A certificate of our own making is reported by its pin and read anew at sighup."""
    with socketkit("echo", "tls://127.0.0.1:0", "--self-signed") as server:
        address = server.address()
        pin = server.wait_line("pin ").removeprefix("pin ")
        assert pin.startswith("sha256:")
        server.process.send_signal(signal.SIGHUP)
        server.wait_line("certificates read anew")
        with socketkit("connect", str(address), "--pin", pin) as client:
            assert client.communicate(b"hello\n") == b"hello\n"
        assert server.stop() == 0
        assert sorted(line.partition(" ")[0] for line in server.stderr_lines) == ["listening", "pin", "socketkit:"]


def test_client_certificate_required():
    """No one without a certificate is let in."""
    arguments = ("--cert", papers().cert, "--client-ca", papers().ca, "--require-client-cert")
    with socketkit("echo", "tls://127.0.0.1:0", *arguments) as server:
        address = str(server.address())
        with socketkit("connect", address, "--cacert", papers().ca) as client:
            assert client.communicate(b"hello\n") == b""
            assert client.wait() == 3
            assert "it requires a certificate of ours" in client.stderr_lines[0]
        with socketkit("connect", address, "--cacert", papers().ca, "--cert", papers().client) as client:
            assert client.communicate(b"hello\n") == b"hello\n"
        assert server.stop() == 0


def test_listen_serves_first_handshake():
    """Listen answers the first with whom it agrees."""
    with socketkit("listen", "tls://127.0.0.1:0", "--cert", papers().cert) as server:
        address = str(server.address())
        with socketkit("connect", address, "--cacert", papers().ca) as client:
            assert client.process.stdin is not None and client.process.stdout is not None
            client.process.stdin.write(b"from the caller\n")
            client.process.stdin.close()
            assert server.communicate(b"from the listener\n") == b"from the caller\n"
            assert client.process.stdout.read() == b"from the listener\n"
            assert client.wait() == 0


def test_a_chat_may_be_secret():
    with socketkit("chat", "host", "tls://127.0.0.1:0", "--self-signed") as host:
        address = str(host.address())
        pin = host.wait_line("pin ").removeprefix("pin ")
        with socketkit("chat", "join", address, "--name", "guest", "--pin", pin) as guest:
            assert b"welcome, you are guest" in guest.communicate(b"bye\n")


def test_wait_verifies_certificate(server):
    """Wait looks at a certificate as connect does."""
    for arguments, status in (((), 124), (("--cacert", papers().ca), 0), (("--insecure",), 0)):
        with socketkit("wait", str(server), "--for", "0", *arguments) as wait:
            assert (wait.communicate(), wait.wait()) == (b"", status)


def test_relay_certificates_both_sides(server):
    """A relay shows clients its own certificate and trusts targets as reported."""
    arguments = ("--cacert", papers().ca, "--self-signed")
    with socketkit("relay", "tls://127.0.0.1:0", str(server), *arguments) as relay:
        address = str(relay.address())
        pin = relay.wait_line("pin ").removeprefix("pin ")
        with socketkit("connect", address, "--pin", pin) as client:
            assert client.communicate(b"hello\n") == b"hello\n"
            assert client.wait() == 0
        assert relay.stop() == 0


@pytest.mark.parametrize(
    ("listen", "target", "option"),
    [
        ("tcp://127.0.0.1:0", "tls://127.0.0.1:1", ("--self-signed",)),
        ("tls://127.0.0.1:0?self_signed=yes", "tcp://127.0.0.1:1", ("--insecure",)),
    ],
)
def test_relay_tls_option_without_effect(listen, target, option):
    """A relay refuses what would do nothing."""
    with socketkit("relay", listen, target, *option) as relay:
        assert relay.wait() == 2
        assert f"{option[0]} does nothing without TLS" in relay.stderr_lines[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork(2)")
def test_workers_share_certificate_and_reload(tmp_path):
    """Workers show one certificate and all read it anew at sighup."""
    cert = tmp_path / "cert.pem"
    cert.write_bytes(Path(papers().cert).read_bytes())

    def shown(address):
        """The keys that so many callers were shown, and answered under."""
        found = set()
        for _ in range(9):
            with connect(address, framing="lines", verify=False) as client:
                client.send("hello")
                assert client.receive(timeout=PATIENCE) == "hello"
                found.add(client.tls.peer_pin)
        return found

    with socketkit("echo", "tls://127.0.0.1:0", "--cert", str(cert), "--workers", "3") as server:
        address = server.address()
        assert address.scheme == "tls"
        with connect(address, framing="lines", ca=papers().ca) as guest:
            guest.send("before")
            assert guest.receive(timeout=PATIENCE) == "before"
            anew = tmp_path / "anew.pem"
            anew.write_bytes(Path(papers().stranger).read_bytes())
            anew.replace(cert)  # at once, as a worker may be about to begin
            server.process.send_signal(signal.SIGHUP)
            server.wait_line("certificates read anew", 3)
            pins = shown(address)
            assert len(pins) == 1
            assert guest.tls.peer_pin not in pins
            cert.write_text("no certificate")
            server.process.send_signal(signal.SIGHUP)
            server.wait_line("the old certificates stay", 3)
            assert shown(address) == pins
            guest.send("after")
            assert guest.receive(timeout=PATIENCE) == "after"
        assert server.stop() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork(2)")
@pytest.mark.parametrize(
    ("paper", "told"),
    [(("--cert", __file__), "no whole certificate (PEM)"), (("--self-signed",), "each worker would make")],
)
def test_workers_refuse_unusable_certificate(paper, told):
    """Workers do not begin with what none of them can use."""
    with socketkit("echo", "tls://127.0.0.1:0", "--workers", "2", *paper) as server:
        assert server.wait() == 2
        assert len(server.stderr_lines) == 1
        assert told in server.stderr_lines[0]
