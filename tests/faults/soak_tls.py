"""The part of the soak that speaks TLS: certificates read anew all the time, also bad ones, under a crowd.

Whoever comes is shown one of the two good certificates, whatever is in the file at the moment; nobody's conversation
notices; those who break off a handshake in any way hold up nobody.
"""

from __future__ import annotations

import os
import random
import signal
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from faults.faulty_peers import Name, dial, reset, silent, wait_end
from faults.server_under_test import HealthyClient
from support.tls import papers

CALLERS = 24
BEAT = 0.25
"""Seconds between two SIGHUPs."""


def context() -> ssl.SSLContext:
    """One that believes both certificates, and tells which was shown."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def dial_securely(name: Name) -> ssl.SSLSocket:
    """A connected socket after its handshake."""
    sock = dial(name)
    try:
        return context().wrap_socket(sock)
    except BaseException:
        sock.close()
        raise


class SecureCompanion(HealthyClient):
    """A healthy client that speaks TLS, and says goodbye as TLS has it.

    Attributes:
        shown: the certificate that the server has shown.
    """

    def dial(self, name: Name) -> ssl.SSLSocket:
        sock = dial_securely(name)
        self.shown = sock.getpeercert(binary_form=True)
        return sock

    def say_goodbye(self) -> None:
        assert isinstance(self._sock, ssl.SSLSocket)
        self._sock.unwrap()  # raises where more came back than was said, or no goodbye


def says_nothing(name: Name, dice: random.Random) -> None:
    with silent(name, first=dice.choice([b"", b"\x16\x03\x01"])) as (sock,):
        wait_end(sock)


def babbles(name: Name, dice: random.Random) -> None:
    with dial(name) as sock:
        sock.sendall(dice.choice([b"GET / HTTP/1.0\r\n\r\n", dice.randbytes(2000), b"\x16\x03\x01\x00\xff" * 50]))
        wait_end(sock)


def resets(name: Name, dice: random.Random) -> None:
    sock = dial(name)
    sock.sendall(hello()[: dice.randint(1, 300)])
    reset(sock)


def resets_late(name: Name, dice: random.Random) -> None:
    sock = dial_securely(name)
    sock.sendall(b"half a li")
    reset(sock)


def hello() -> bytes:
    """The first bytes of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context().wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


FAULTY: tuple[Callable[[Name, random.Random], None], ...] = (says_nothing, babbles, resets, resets_late)


class SecureCrowd:
    """Threads that call one server over TLS until they are told to stop; half of them break off.

    Attributes:
        rounds: questions of the healthy that were answered whole.
        shown: certificates, and how many callers were shown each.
        lost: healthy conversations, and handshakes, that failed.
        broken: liars who were neither served nor cut off.
    """

    def __init__(self, name: Name, size: int) -> None:
        self.rounds = 0
        self.shown: Counter[bytes | None] = Counter()
        self.lost: list[str] = []
        self.broken: list[str] = []
        self._name = name
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._lie if number % 2 else self._talk, args=(random.Random(number),))
            for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def _talk(self, dice: random.Random) -> None:
        while not self._stop.is_set():
            try:
                companion = SecureCompanion(self._name, beat=0.05)
            except OSError as error:
                with self._lock:
                    self.lost.append(repr(error))
                continue
            companion.start()
            self._stop.wait(dice.uniform(0, 2))
            companion.end()
            with self._lock:
                self.rounds += companion.rounds
                self.shown[companion.shown] += 1
                if companion.failure is not None:
                    self.lost.append(repr(companion.failure))

    def _lie(self, dice: random.Random) -> None:
        while not self._stop.wait(dice.uniform(0, 0.5)):
            liar = dice.choice(FAULTY)
            try:
                liar(self._name, dice)
            except ConnectionError:
                pass
            except OSError as error:
                with self._lock:
                    self.broken.append(f"{liar.__name__}: {error!r}")

    def stop(self) -> None:
        """Wait until all have gone."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Paper:
    """A certificate's file, which changes: one good one, the other, and something that is none."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="socketkit-soak-")
        self.path = Path(self._folder.name, "cert.pem")
        self.good = [Path(path).read_bytes() for path in (papers().cert, papers().stranger)]
        self._count = 0
        self.change()

    def change(self) -> bool:
        """Put the next one there, whole; whether it is a good one."""
        number, self._count = self._count % 3, self._count + 1
        beside = self.path.with_suffix(".new")
        beside.write_bytes(self.good[number] if number < 2 else b"no certificate")
        os.replace(beside, self.path)
        return number < 2

    def close(self) -> None:
        self._folder.cleanup()


def reload_under_load(pid: int, paper: Paper, name: Name, seconds: float) -> tuple[SecureCrowd, Counter[bool]]:
    """Let the crowd talk, while the certificate changes; what became of it, and how many good and bad there were."""
    crowd, counts = SecureCrowd(name, CALLERS), Counter[bool]()
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        time.sleep(BEAT)
        counts[paper.change()] += 1
        os.kill(pid, signal.SIGHUP)
    time.sleep(BEAT)
    crowd.stop()
    return crowd, counts
