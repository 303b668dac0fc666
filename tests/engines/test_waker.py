"""The flag by which threads and signals interrupt a wait."""

from __future__ import annotations

import os
import select
import socket
import threading

from socketkit.engines.waker import Waker


def is_readable(waker: Waker) -> bool:
    return bool(select.select([waker.fileno()], [], [], 0)[0])


def test_it_is_readable_from_wake_to_clear() -> None:
    waker = Waker()
    for _ in range(3):
        assert not is_readable(waker)
        waker.wake()
        waker.wake()
        assert is_readable(waker)
        assert waker.clear()
        assert not waker.clear()
    waker.close()


def test_waker_after_close_is_harmless() -> None:
    """After the end everything is harmless."""
    waker = Waker()
    waker.close()
    waker.close()
    waker.wake()


def test_waker_closes_its_descriptor() -> None:
    """It gives its descriptor back when it is forgotten."""
    waker = Waker()
    number = waker.fileno()
    del waker
    with socket.socket() as sock:  # the lowest free number
        assert sock.fileno() <= number


def test_none_of_many_wakes_is_lost() -> None:
    """Whoever clears and then looks sees everything that was said before."""
    waker, said, threads_count, calls_count = Waker(), list[int](), 4, 500

    def work() -> None:
        for number in range(calls_count):
            said.append(number)
            waker.wake()

    threads = [threading.Thread(target=work) for _ in range(threads_count)]
    for thread in threads:
        thread.start()
    heard = 0
    while heard < threads_count * calls_count:
        assert select.select([waker.fileno()], [], [], 5)[0], "a wake was lost"
        waker.clear()
        heard = len(said)
    for thread in threads:
        thread.join()
    waker.close()


def test_wake_after_close_writes_nothing() -> None:
    """The number of a closed descriptor is given to the next that is opened."""
    for _ in range(50):
        waker = Waker()
        thread = threading.Thread(target=lambda waker=waker: [waker.wake() for _ in range(20)])
        thread.start()
        waker.close()
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        thread.join()
        try:
            assert os.read(reader, 8) == b""
        except BlockingIOError:
            pass
        os.close(reader)
        os.close(writer)
