"""Numbers never reach the resolver; a name is asked once, aside; errors say the name and the resolver's words."""

from __future__ import annotations

import socket
import threading

import pytest

from socketkit import Address, engines
from socketkit.engines.engine import MAX_THREADS
from socketkit.engines.group import Group
from socketkit.errors import DeadlineError, ResolveError
from socketkit.events import Resolved
from socketkit.sockets.resolver import Candidate, resolve
from support.recorder import Recorder
from support.running import FAR, Running, turns, until

TCP = socket.SOCK_STREAM


class Table:
    """A resolver that answers from a table, and remembers what it was asked, and where."""

    def __init__(self, *answers: object, error: Exception | None = None) -> None:
        self._answers = answers
        self._error = error
        self.asked: list[tuple[object, ...]] = []
        self.threads: list[threading.Thread] = []

    def __call__(self, *question: object) -> list[object]:
        self.asked.append(question)
        self.threads.append(threading.current_thread())
        if self._error is not None:
            raise self._error
        return [
            (
                socket.AF_INET6 if ":" in host else socket.AF_INET,
                TCP,
                6,
                "",
                (host, 5000) + ((0, 0) if ":" in host else ()),
            )
            for host in self._answers
        ]


def find(text: str, engine=None, **keywords):
    engine = engines.make(engines.best_readiness()) if engine is None else engine
    return engine.run(resolve(engine, Address.parse(text), **keywords))


def test_name_gives_all_addresses_once(engine):
    """A name stands for all its addresses in the resolvers order each once."""
    table, recorder = Table("::1", "10.0.0.1", "::1"), Recorder()
    found = find("tcp://example:5000", engine, lookup=table, observer=recorder)
    assert [str(each) for each in found] == ["tcp://[::1]:5000", "tcp://10.0.0.1:5000"]
    assert recorder.events == [Resolved("tcp://example:5000", ("tcp://[::1]:5000", "tcp://10.0.0.1:5000"))]
    assert len(table.asked) == 1
    if not engine.blocks:
        assert table.threads != [threading.main_thread()]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[fe80::1%1]", ""])
def test_numeric_hosts_skip_resolver(host):
    """A number and no host are arithmetic done here."""
    (first, *_) = find(f"tcp://{host}:5000")
    assert isinstance(first, Candidate)
    table = Table("127.0.0.1")
    find(f"tcp://{host}:5000", lookup=table)
    assert table.threads == [threading.current_thread()]
    assert table.asked[0][5] & socket.AI_NUMERICHOST


def test_no_host_wildcard_or_loopback():
    """No host means every interface to a server and this machine to a client."""
    served = {each.name[0] for each in find("tcp://:5000", passive=True)}
    dialled = {each.name[0] for each in find("tcp://:5000")}
    assert served <= {"0.0.0.0", "::"} and served
    assert dialled <= {"127.0.0.1", "::1"} and dialled


@pytest.mark.parametrize(
    ("scheme", "family"), [("tcp", socket.AF_UNSPEC), ("tcp4", socket.AF_INET), ("tcp6", socket.AF_INET6)]
)
def test_scheme_limits_family(scheme, family):
    table = Table("::1" if scheme == "tcp6" else "127.0.0.1")
    find(f"{scheme}://example:1", lookup=table)
    assert table.asked[0][2] == family


def test_hostname_placeholder():
    """The placeholder is this machines own name."""
    table = Table("127.0.0.1")
    find("tcp://{hostname}:1", lookup=table)
    assert table.asked[0][0] == socket.gethostname()


def test_unicode_name_is_idna():
    """A name in unicode is asked for as dns takes it."""
    table = Table("127.0.0.1")
    find("tcp://bücher.example:1", lookup=table)
    find("tcp://faß.example:1", lookup=table)
    assert [question[0] for question in table.asked] == ["xn--bcher-kva.example", "xn--fa-hia.example"]


def test_impossible_name_is_resolve_error():
    """A name that no domain can have is not asked for."""
    table = Table("127.0.0.1")
    with pytest.raises(ResolveError, match="is no domain name"):
        find("tcp://☃.example:1", lookup=table)
    assert table.asked == []


@pytest.mark.parametrize(("text", "name"), [("unix:///tmp/a", b"/tmp/a"), ("unix://@a", b"\0a")])
def test_a_path_is_its_own_answer(text, name):
    recorder, table = Recorder(), Table()
    assert [each.name for each in find(text, lookup=table, observer=recorder)] == [name]
    assert recorder.events == [Resolved(text, (text,))]
    assert table.asked == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "tcp://nowhere:1: the name 'nowhere' was not resolved: Name or service not known",
        ),
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution."),
            "tcp://nowhere:1: the name 'nowhere' was not resolved: Temporary failure in name resolution",
        ),
        (None, "tcp://nowhere:1: the name 'nowhere' has no address"),
    ],
)
def test_who_cannot_be_found_is_named(error, text):
    with pytest.raises(ResolveError) as caught:
        find("tcp://nowhere:1", lookup=Table(error=error))
    assert str(caught.value) == text
    assert caught.value.address == "tcp://nowhere:1"
    assert caught.value.errno == (error.errno if error else None)


def test_undnsable_name_is_resolve_error():
    """A name that dns could not even ask for is a resolve error."""
    with pytest.raises(ResolveError, match="was not resolved"):
        find("tcp://" + "ß" * 62 + ".example:1", lookup=Table("127.0.0.1"))


def test_socket_without_name():
    """A socket without a name cannot be found."""
    with pytest.raises(ResolveError, match="a socket without a name cannot be found"):
        find("unix://unnamed")


def test_silent_resolver_times_out(engine):
    """A resolver that is silent has so much time."""
    release = threading.Event()

    def silent(*question: object) -> list[object]:
        release.wait(20)
        return []

    async def main() -> None:
        with pytest.raises(DeadlineError, match=r"^tcp://slow:1: the name 'slow' was not resolved in time$"):
            await resolve(engine, Address.parse("tcp://slow:1"), deadline=engine.now() + 0.02, lookup=silent)

    engine.run(main())
    release.set()


class Slow(Table):
    """Answers when it is let."""

    def __init__(self, *answers: object, error: Exception | None = None) -> None:
        super().__init__(*answers, error=error)
        self.release = threading.Event()

    def __call__(self, *question: object) -> list[object]:
        try:
            return super().__call__(*question)
        finally:
            self.release.wait(20)


def running(engine, table: Slow, text: str = "tcp://slow:1", deadline: float | None = None) -> Running:
    return Running(engine, resolve(engine, Address.parse(text), lookup=table, deadline=deadline))


def test_concurrent_lookups_share_one_thread(engine):
    """Many who ask the same share one answer and one thread."""
    table = Slow("127.0.0.1")

    async def main() -> list[object]:
        tasks = [running(engine, table) for _ in range(20)]
        await until(engine, lambda: table.asked)
        await turns(engine)
        table.release.set()
        return [await task.result() for task in tasks]

    found = engine.run(main())
    assert [str(each[0]) for each in found] == ["tcp://127.0.0.1:5000"] * 20
    assert len(table.asked) < (20 if engine.blocks else 2)  # threads may ask in the very same moment


def test_another_question_is_not_held_up(engine):
    slow, table = Slow("127.0.0.1"), Table("127.0.0.2")

    async def main() -> None:
        task = running(engine, slow)
        await until(engine, lambda: slow.asked)
        for text in ("tcp://slow:1", "tcp://other:1"):
            (found,) = await resolve(engine, Address.parse(text), lookup=table)
            assert found.name[0] == "127.0.0.2"
        slow.release.set()
        await task.result()

    engine.run(main())


def test_cancelled_lookup_keeps_shared_answer(engine):
    """Who gives up takes the answer from no one."""
    table = Slow("127.0.0.1")

    async def main() -> None:
        cancelled = running(engine, table)
        await until(engine, lambda: table.asked)
        late, patient = running(engine, table, deadline=engine.now() + 0.01), running(engine, table)
        await turns(engine)
        cancelled.cancel()
        assert isinstance(await cancelled.outcome(), engine.cancelled)
        assert isinstance(await late.outcome(), DeadlineError)
        table.release.set()
        assert len(await patient.result()) == 1

    engine.run(main())
    assert len(table.asked) == 1


def test_failed_lookup_error_per_waiter(engine):
    """Each is reported a failure by an error of his own."""
    table = Slow(error=socket.gaierror(socket.EAI_AGAIN, "Temporary failure"))

    async def main() -> list[object]:
        tasks = [running(engine, table, f"tcp4://slow:1?retry={count}") for count in range(2)]
        await until(engine, lambda: table.asked)
        await turns(engine)
        table.release.set()
        return [await task.outcome() for task in tasks]

    first, second = engine.run(main())
    assert first is not second
    assert [type(first), type(second)] == [ResolveError] * 2
    assert [first.errno, second.errno] == [socket.EAI_AGAIN] * 2
    assert str(first).startswith("tcp4://slow:1?retry=0: ")


def test_an_answer_is_not_kept(engine):
    table = Table("127.0.0.1")

    async def main() -> None:
        for _ in range(2):
            await resolve(engine, Address.parse("tcp://name:1"), lookup=table)

    engine.run(main())
    assert len(table.asked) == 2


def test_unexpected_lookup_error_is_raised(engine):
    """What a lookup must not raise is raised all the same."""
    with pytest.raises(ZeroDivisionError):
        find("tcp://name:1", engine, lookup=Table(error=ZeroDivisionError()))


def test_lookup_without_thread_leaves_no_trace(engine):
    """A lookup that got no thread in time is not waited for by the next one of the same name."""
    hung, table = threading.Event(), Table("127.0.0.1")

    async def main() -> int:
        far = engine.now() + FAR
        async with Group(engine) as group:
            for _ in range(MAX_THREADS):
                group.start(engine.run_in_thread(lambda: hung.wait(FAR), deadline=far, purpose="lookups"))
            await turns(engine)
            late = running(engine, table, deadline=engine.now() + 0.2)
            await turns(engine)
            sharing = running(engine, table, deadline=far)
            assert isinstance(await late.outcome(), DeadlineError)
            assert table.asked == []
            hung.set()
            return len(await sharing.result())

    assert engine.run(main()) == 1
    assert len(table.asked) == 1
