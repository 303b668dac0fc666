"""Datagrams without sessions: every engine, every kind of datagram socket, and what goes wrong there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from socketkit import (
    AddressError,
    BlockingDatagrams,
    BrokenError,
    BusyError,
    ClosedError,
    DatagramsStatistics,
    DeadlineError,
    FrameTooLongError,
    FramingError,
    ListenError,
    OptionError,
    ResolveError,
    connect,
    open_datagrams,
)
from socketkit.datagrams.datagrams import MAX_BATCH, Datagrams
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.events import Bound, DatagramsOverflowed, Listening, Resolved, StoppedListening
from support.datagrams import kinds_here
from support.recorder import Recorder
from support.running import FAR
from support.streams import why_not

KINDS = {
    "udp4": "udp4://127.0.0.1:0",
    "udp6": "udp6://[::1]:0",
    "unixgram": "unixgram:{folder}/{name}",
    "unixgram-abstract": "unixgram://@socketkit-{folder}-{name}",
}


@pytest.fixture(params=kinds_here(KINDS))
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Two addresses of each kind in turn."""
    text = KINDS[request.param]
    return text.format(folder=tmp_path, name="a"), text.format(folder=tmp_path, name="b")


def both(
    engine: Engine, places: tuple[str, str], work: Callable[[Datagrams, Datagrams], Awaitable[None]], **options: Any
) -> None:
    """Run a coroutine with two open ends."""

    async def main() -> None:
        async with (
            open_datagrams(places[0], engine=engine, **options) as left,
            open_datagrams(places[1], engine=engine, **options) as right,
        ):
            await work(left, right)

    engine.run(main())


def test_message_and_answer(engine: Engine, places: tuple[str, str]) -> None:
    """A message arrives with its sender's address, and an answer to that address arrives; an empty one is a message."""

    async def work(left: Datagrams, right: Datagrams) -> None:
        for message in (b"hello", b"", b"x" * 8000):
            await left.send_to(message, right.local)
            assert await right.receive_from(timeout=FAR) == (message, left.local)
            await right.send_to(message + b"!", left.local)
            assert await left.receive_from(timeout=FAR) == (message + b"!", right.local)

    both(engine, places, work)


def test_many_in_order(engine: Engine, places: tuple[str, str]) -> None:
    """`receive_many_from` returns all that is there, in order, each with its address."""

    async def work(left: Datagrams, right: Datagrams) -> None:
        for number in range(9):  # a UNIX socket's queue holds ten (net.unix.max_dgram_qlen)
            await left.send_to(b"%d" % number, right.local)
        assert await right.receive_many_from(timeout=FAR) == [(b"%d" % number, left.local) for number in range(9)]
        await left.send_to(b"later", right.local)
        assert await right.receive_many_from(timeout=FAR) == [(b"later", left.local)]

    both(engine, places, work)


def test_iteration(engine: Engine, places: tuple[str, str]) -> None:
    """Iteration gives the pairs, and can be begun again."""

    async def work(left: Datagrams, right: Datagrams) -> None:
        for number in range(4):
            await left.send_to(b"%d" % number, right.local)
        got: list[bytes] = []
        for end in (2, 4):
            async for message, address in right:
                assert address == left.local
                got.append(message)
                if len(got) == end:
                    break
        assert got == [b"0", b"1", b"2", b"3"]

    both(engine, places, work)


def test_framing_of_each_datagram(engine: Engine, places: tuple[str, str]) -> None:
    """A datagram holds any number of messages; a wrong one raises in its place, names its sender, and ends nothing."""

    async def work(left: Datagrams, right: Datagrams) -> None:
        with closing(socket.socket(right.socket.family, socket.SOCK_DGRAM)) as raw:
            for data in (b"one\ntwo\n", b"good\n\xff\xff\n", b"after\n"):
                raw.sendto(data, right.socket.getsockname())
        got: list[object] = []
        for _ in range(5):
            try:
                got.append((await right.receive_from(timeout=FAR))[0])
            except FramingError as error:
                got.append(FramingError)
                assert f"from {right.local.scheme}" in "".join(error.__notes__)
        assert got == ["one", "two", "good", FramingError, "after"]

    both(engine, places, work, framing="lines")


def test_fault_ends_list(engine_name: str) -> None:
    """A list ends before a wrong datagram, whose error the next call raises; the rest follows."""
    with open_datagrams("udp4://127.0.0.1:0", framing="lines") as datagrams:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as raw:
            for data in (b"one\n", b"\xff\n", b"two\n"):
                raw.sendto(data, datagrams.socket.getsockname())
        assert [message for message, _ in datagrams.receive_many_from(timeout=FAR)] == ["one"]
        with pytest.raises(FramingError):
            datagrams.receive_many_from(timeout=FAR)
        assert [message for message, _ in datagrams.receive_many_from(timeout=FAR)] == ["two"]


def test_cancelled_receive_loses_nothing(engine: Engine, places: tuple[str, str]) -> None:
    """A receiver that was cancelled, or whose deadline passed, has taken nothing: the next call returns it."""
    if engine.blocks:
        pytest.skip("a blocking wait is not cancelled")

    async def work(left: Datagrams, right: Datagrams) -> None:
        got: list[object] = []

        async def receive() -> None:
            got.append(await right.receive_from())

        for _ in range(3):
            async with Group(engine) as group:
                group.start(receive())
                await engine.sleep(0)
                await engine.sleep(0)
                await left.send_to(b"kept", right.local)
                group.cancel()
            if not got:
                got.append(await right.receive_from(timeout=FAR))
            assert got == [(b"kept", left.local)]
            got.clear()
        with pytest.raises(DeadlineError, match="no message within"):
            await right.receive_from(timeout=0.001)

    both(engine, places, work)


def test_one_receiver(engine: Engine, places: tuple[str, str]) -> None:
    """A second receiver is refused, and the first one goes on."""
    if engine.blocks:
        pytest.skip("one task alone")

    async def work(left: Datagrams, right: Datagrams) -> None:
        got: list[object] = []

        async def receive() -> None:
            got.append((await right.receive_from())[0])

        async with Group(engine) as group:
            group.start(receive())
            await engine.sleep(0.001)
            with pytest.raises(BusyError):
                await right.receive_from()
            await left.send_to(b"first", right.local)
        assert got == [b"first"]

    both(engine, places, work)


def test_close_ends_a_waiting_receiver(engine: Engine, places: tuple[str, str]) -> None:
    """`close` raises in a task that waits; afterwards every verb raises, and statistics stay."""

    async def work(left: Datagrams, right: Datagrams) -> None:
        ended: list[type[Exception]] = []

        async def receive() -> None:
            try:
                await right.receive_from()
            except ClosedError:
                ended.append(ClosedError)

        async with Group(engine) as group:
            group.start(receive())
            await engine.sleep(0.01)
            await right.close()
        assert ended == [ClosedError]
        with pytest.raises(ClosedError, match="was closed here"):
            await right.receive_many_from()
        with pytest.raises(ClosedError):
            await right.send_to(b"x", left.local)
        assert right.is_closed
        assert right.statistics().received_count == 0
        assert "closed" in repr(right)

    both(engine, places, work)


def test_full_unix_queue_waits(engine: Engine, tmp_path: Path) -> None:
    """A sender to a full UNIX queue waits; its deadline passes without a message sent, and later all arrive."""

    async def work(left: Datagrams, right: Datagrams) -> None:
        sent = 0
        with suppress(DeadlineError):
            while True:
                await left.send_to(b"%d" % sent, right.local, timeout=0.02)
                sent += 1
        assert sent == left.statistics().sent_count > 0
        got = []
        while len(got) < sent:
            got += [message for message, _ in await right.receive_many_from(timeout=FAR)]
        assert got == [b"%d" % number for number in range(sent)]

    both(engine, (f"unixgram:{tmp_path}/a", f"unixgram:{tmp_path}/b"), work)


def test_statistics() -> None:
    """Counts are of datagrams; messages wait in the queue until they are received."""
    with (
        open_datagrams("udp4://127.0.0.1:0", framing="lines") as right,
        open_datagrams("udp4://127.0.0.1:0") as left,
    ):
        left.send_to(b"one\ntwo\n", right.local)
        assert right.receive_from(timeout=FAR)[0] == "one"
        drops = right.statistics().kernel_dropped_count
        assert right.statistics() == DatagramsStatistics(1, 0, 8, 0, 1, drops)
        assert left.statistics() == DatagramsStatistics(0, 1, 0, 8, 0, drops)


def test_kernel_drops_are_counted() -> None:
    """What the kernel drops because nothing is received is in the statistics, also after the close, and one event
    reports it."""
    recorder = Recorder()
    with open_datagrams("udp4://127.0.0.1:0", receive_buffer=4096, observer=recorder) as right:
        if right.statistics().kernel_dropped_count is None:
            pytest.skip("this system does not count them (SO_MEMINFO)")
        with open_datagrams("udp4://127.0.0.1:0") as left:
            for _ in range(200):
                left.send_to(bytes(1000), right.local)
        got = len(right.receive_many_from(timeout=FAR))
        assert right.statistics().kernel_dropped_count == 200 - got > 0
    assert right.statistics().kernel_dropped_count == 200 - got
    assert [(event.count, event.total) for event in recorder.of(DatagramsOverflowed)] == [(200 - got, 200 - got)]


def test_batch_is_bounded() -> None:
    """One call takes at most so many datagrams, and leaves the others to the next."""
    with open_datagrams("udp4://127.0.0.1:0", receive_buffer="4MiB") as right, open_datagrams("udp4://:0") as left:
        for number in range(MAX_BATCH + 3):
            left.send_to(b"%d" % number, right.local)
        drops = right.statistics().kernel_dropped_count
        first = right.receive_many_from(timeout=FAR)
        assert len(first) <= MAX_BATCH
        if not drops:
            assert len(first) == MAX_BATCH
            assert [message for message, _ in right.receive_many_from(timeout=FAR)] == [b"256", b"257", b"258"]


def test_all_families_of_an_empty_host() -> None:
    """`udp://:0` is open for both families, on one port; each answer leaves from the socket of its family."""
    if why_not("tcp6"):
        pytest.skip("no IPv6")
    with open_datagrams("udp://:0") as server:
        assert len({address.port for address in server.addresses}) == 1
        assert len(server.sockets) == len(server.addresses) == 2
        for text in ("udp4://127.0.0.1:0", "udp6://[::1]:0"):
            with open_datagrams(text) as client:
                client.send_to(b"hi", client.local.replace(port=server.local.port))
                message, address = server.receive_from(timeout=FAR)
                assert (message, address) == (b"hi", client.local)
                server.send_to(b"yes", address)
                assert client.receive_from(timeout=FAR)[0] == b"yes"


def test_name_is_resolved_once() -> None:
    """A name is looked up by the first send, and remembered."""
    recorder = Recorder()
    with (
        open_datagrams("udp4://127.0.0.1:0") as right,
        open_datagrams("udp4://127.0.0.1:0", observer=recorder) as left,
    ):
        before = len(recorder.of(Resolved))
        for _ in range(3):
            left.send_to(b"x", f"udp://localhost:{right.local.port}")
            assert right.receive_from(timeout=FAR)[0] == b"x"
        assert len(recorder.of(Resolved)) == before + 1


def test_events() -> None:
    """An observer gets the bound addresses, and the end."""
    recorder = Recorder()
    with open_datagrams("udp4://127.0.0.1:0", observer=recorder) as datagrams:
        text = str(datagrams.local)
    assert [(type(event), event.local) for event in recorder.events if not isinstance(event, Resolved)] == [
        (Bound, text),
        (Listening, text),
        (StoppedListening, text),
    ]


@pytest.mark.parametrize(
    ("address", "error", "text"),
    [
        ("tcp://127.0.0.1:1", AddressError, "allowed are addresses as udp"),
        ("/dev/log", AddressError, "allowed are addresses as udp"),
        ("udp4://127.0.0.1:0", AddressError, "nothing receives at port 0"),
        ("udp6://[::1]:9", AddressError, "another family"),
        ("udp://127.0.0.1", AddressError, "has no port"),
        ("udp://host.invalid:9", ResolveError, "host.invalid"),
        ("udp4://255.255.255.255:9", BrokenError, "broadcast=yes"),
    ],
)
def test_wrong_targets(address: str, error: type[Exception], text: str) -> None:
    """A target that cannot be reached is one clear error, and the socket goes on."""
    with open_datagrams("udp4://127.0.0.1:0") as datagrams:
        with pytest.raises(error, match=text):
            datagrams.send_to(b"x", address)
        datagrams.send_to(b"x", datagrams.local)
        assert datagrams.receive_from(timeout=FAR) == (b"x", datagrams.local)


def test_timeout_as_text() -> None:
    """Times are text as well as seconds, also where a name is looked up within them."""
    with open_datagrams("udp4://127.0.0.1:0") as datagrams:
        named = f"udp4://localhost:{datagrams.local.port}"
        datagrams.send_to(b"one", named, timeout="30s")
        datagrams.send_many_to([(b"two", named)], timeout="1m")
        assert [datagrams.receive_from(timeout="30s")[0] for _ in range(2)] == [b"one", b"two"]
        for timeout in ("soon", -1):
            with pytest.raises(OptionError, match="timeout"):
                datagrams.send_to(b"x", "udp4://unknown.invalid:9", timeout=timeout)
        with pytest.raises(DeadlineError, match=r"within 0\.001 s"):
            datagrams.receive_from(timeout="1ms")


def test_too_long() -> None:
    """A message at the limit is sent; one byte more is refused, with both sizes. One that is too long for
    `receive_size` is an error with both sizes, and the next one is received."""
    with open_datagrams("udp4://127.0.0.1:0", receive_size=100) as small, open_datagrams("udp4://127.0.0.1:0") as big:
        big.send_to(bytes(65507), big.local)
        assert big.receive_from(timeout=FAR)[0] == bytes(65507)
        with pytest.raises(FrameTooLongError, match=r"65508.*65507"):
            big.send_to(bytes(65508), big.local)
        for size in (100, 101, 7):
            big.send_to(bytes(size), small.local)
        assert small.receive_from(timeout=FAR)[0] == bytes(100)
        with pytest.raises(FrameTooLongError, match=r"101 bytes came.*holds 100"):
            small.receive_from(timeout=FAR)
        assert small.receive_from(timeout=FAR)[0] == bytes(7)


def test_refused_by_icmp() -> None:
    """A port where nothing receives does not disturb a socket that serves many (udp(7))."""
    with open_datagrams("udp4://127.0.0.1:0") as datagrams:
        with open_datagrams("udp4://127.0.0.1:0") as gone:
            pass
        for _ in range(3):
            datagrams.send_to(b"x", gone.local)
        datagrams.send_to(b"me", datagrams.local)
        assert datagrams.receive_from(timeout=FAR)[0] == b"me"


def test_gone_unix_peer(tmp_path: Path) -> None:
    """A path where nothing is bound, and a sender without a name, are errors of that send alone."""
    with open_datagrams(f"unixgram:{tmp_path}/a") as datagrams:
        with pytest.raises(BrokenError, match="ENOENT"):
            datagrams.send_to(b"x", f"unixgram:{tmp_path}/none")
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as unnamed:
            unnamed.sendto(b"hi", str(tmp_path / "a"))
        message, address = datagrams.receive_from(timeout=FAR)
        assert (message, address.path) == (b"hi", "")
        with pytest.raises(ResolveError, match="without a name"):
            datagrams.send_to(b"x", address)
    assert not (tmp_path / "a").exists()


def test_flood_of_senders_is_bounded() -> None:
    """A flood of forged sources costs a bounded table, and no session."""
    from socketkit.datagrams.targets import MAX_TARGETS

    with open_datagrams("udp4://127.0.0.1:0") as datagrams:
        targets = datagrams._datagrams._targets
        bound = datagrams._datagrams._sockets[0]
        for number in range(MAX_TARGETS + 10):
            targets.sender(bound, (f"10.0.{number // 250}.{number % 250 + 1}", 9))
        assert len(targets._senders[bound]) == len(targets._known) == MAX_TARGETS


@pytest.mark.parametrize("address", ["tcp://:0", "unixpacket:///x", "stdio:", "/x", "exec:true", "tls://:1"])
def test_addresses_with_connections_are_refused(address: str) -> None:
    """An address without datagrams is refused at once."""
    with pytest.raises(AddressError, match="allowed are udp"):
        open_datagrams(address)


@pytest.mark.parametrize("option", [{"backlog": 3}, {"idle_timeout": 3}, {"nodelay": False}, {"max_connections": 3}])
def test_options_without_effect_are_refused(option: dict[str, Any]) -> None:
    """An option that cannot act here is refused, and the error says where it acts."""
    with pytest.raises(OptionError, match="it has no effect on open_datagrams; it acts on"):
        open_datagrams("udp://:0", **option)


def test_port_in_use() -> None:
    """A second socket at the same port is an error of opening."""
    with (
        open_datagrams("udp4://127.0.0.1:0") as first,
        pytest.raises(ListenError, match="EADDRINUSE"),
        open_datagrams(first.local),
    ):
        pass


def test_inherited_socket() -> None:
    """A datagram socket of a service manager is used as it is; a listening TCP socket is refused."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as given:
        given.bind(("127.0.0.1", 0))
        with open_datagrams(f"fd://{given.fileno()}") as datagrams:
            with connect(f"udp4://127.0.0.1:{given.getsockname()[1]}") as client:
                client.send(b"hi")
                message, address = datagrams.receive_from(timeout=FAR)
                datagrams.send_to(message + b"!", address)
                assert client.receive(timeout=FAR) == b"hi!"
    with closing(socket.socket()) as wrong:
        wrong.bind(("127.0.0.1", 0))
        wrong.listen()
        with pytest.raises(AddressError, match="allowed are udp"), open_datagrams(f"fd://{wrong.fileno()}"):
            pass


def test_multicast_group() -> None:
    """A group is joined on opening, and sent to by its address."""
    group = "udp4://239.255.77.7:0?interface=127.0.0.1"
    try:
        opened = open_datagrams(group).open()
    except ListenError as error:
        pytest.skip(f"no multicast here: {error}")
    with opened as member, open_datagrams("udp4://127.0.0.1:0") as sender:
        sender.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        try:
            sender.send_to(b"all", member.local)
        except BrokenError as error:
            pytest.skip(f"no multicast here: {error}")
        assert member.receive_from(timeout=FAR) == (b"all", sender.local)


def test_threads() -> None:
    """In plain code many threads send while one receives; a close in another thread ends the receiver."""
    with open_datagrams("udp4://127.0.0.1:0", receive_buffer="1MiB") as right, open_datagrams("udp4://:0") as left:

        def send(name: bytes) -> None:
            for _ in range(20):
                left.send_to(name, right.local)

        threads = [threading.Thread(target=send, args=(b"%d" % number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        got = [right.receive_from(timeout=FAR)[0] for _ in range(80)]
        for thread in threads:
            thread.join()
        assert sorted(got) == sorted([b"0", b"1", b"2", b"3"] * 20)
        ended = threading.Event()

        def receive(datagrams: BlockingDatagrams) -> None:
            try:
                for _ in datagrams:
                    pass
            except ClosedError:
                ended.set()

        waiting = threading.Thread(target=receive, args=(right,))
        waiting.start()
        right.close()
        waiting.join(FAR)
        assert ended.is_set()


# Many at once


def test_many_are_answered_at_once(engine: Engine, places: tuple[str, str]) -> None:
    """`send_many_to` takes what `receive_many_from` returns; order and senders are kept."""
    count = 150

    async def work(left: Datagrams, right: Datagrams) -> None:
        async def echo() -> None:
            answered = 0
            while answered < count:
                pairs = await right.receive_many_from()
                await right.send_many_to(pairs)
                answered += len(pairs)

        step = 50 if left.local.scheme.startswith("udp") else 5  # the queue of a UNIX socket is short
        async with Group(engine) as group:
            group.start(echo())
            got: list[Any] = []
            for number in range(0, count, step):
                await left.send_many_to([(b"%d" % each, right.local) for each in range(number, number + step)])
                while len(got) < number + step:
                    got += await left.receive_many_from()
        assert got == [(b"%d" % number, right.local) for number in range(count)]
        assert left.statistics().sent_count == right.statistics().sent_count == count

    both(engine, places, work)


def test_many_wait_for_room(engine: Engine, tmp_path: Path) -> None:
    """Behind a full queue the rest waits for room; nothing is lost, and order is kept."""

    async def work(left: Datagrams, right: Datagrams) -> None:
        async with Group(engine) as group:
            group.start(left.send_many_to([(b"%d" % number, right.local) for number in range(300)]))
            got: list[bytes] = []
            while len(got) < 300:
                await engine.sleep(0.001)
                got += [message for message, _ in await right.receive_many_from()]
        assert got == [b"%d" % number for number in range(300)]

    both(engine, (f"unixgram:{tmp_path}/a", f"unixgram:{tmp_path}/b"), work)


def test_many_over_both_families() -> None:
    """Datagrams to addresses of two families leave from two sockets."""
    with (
        open_datagrams("udp4://127.0.0.1:0") as four,
        open_datagrams("udp6://[::1]:0") as six,
        open_datagrams("udp://:0") as sender,
    ):
        if len(sender.addresses) < 2:
            pytest.skip("one socket has both families here")
        sender.send_many_to((b"%d" % number, (four, six)[number % 3 == 0].local) for number in range(9))
        assert [message for message, _ in four.receive_many_from(timeout=FAR)] == [b"1", b"2", b"4", b"5", b"7", b"8"]
        assert [message for message, _ in six.receive_many_from(timeout=FAR)] == [b"0", b"3", b"6"]


def test_many_are_checked_before_one_is_sent() -> None:
    """A message or an address that is wrong is refused before the first datagram is sent."""
    with open_datagrams("udp4://127.0.0.1:0") as left, open_datagrams("udp4://127.0.0.1:0") as right:
        good = (b"good", right.local)
        for wrong, error in [
            ((b"x" * 65_508, right.local), FrameTooLongError),
            (("text", right.local), TypeError),
            ((b"x", "tcp://127.0.0.1:1"), AddressError),
            ((b"x", "udp6://[::1]:1"), AddressError),
        ]:
            with pytest.raises(error):
                left.send_many_to([good, wrong])  # type: ignore[list-item]
        assert left.statistics().sent_count == 0
        left.send_many_to([])
        left.send_many_to([good])
        assert right.receive_many_from(timeout=FAR) == [(b"good", left.local)]


def test_refused_among_many(tmp_path: Path) -> None:
    """A datagram that the system refuses ends the call; the error notes how many were sent."""
    with (
        open_datagrams(f"unixgram:{tmp_path}/a") as left,
        open_datagrams(f"unixgram:{tmp_path}/b") as right,
    ):
        gone = f"unixgram:{tmp_path}/gone"
        with pytest.raises(BrokenError, match=r"unixgram:.*gone: .*ENOENT") as caught:
            left.send_many_to([(b"1", right.local), (b"2", right.local), (b"3", gone), (b"4", right.local)])
        assert caught.value.__notes__ == ["2 of the 4 messages were sent"]
        assert [message for message, _ in right.receive_many_from(timeout=FAR)] == [b"1", b"2"]
        for number in range(10_000):
            try:
                left.send_to(b"%d" % number, right.local, timeout=0)
            except DeadlineError:
                break
        with pytest.raises(DeadlineError, match="the system had no buffer space within") as late:
            left.send_many_to([(b"late", right.local)] * 3, timeout=0.01)
        assert late.value.__notes__ == ["0 of the 3 messages were sent"]
    with pytest.raises(ClosedError):
        left.send_many_to([(b"closed", right.local)])
