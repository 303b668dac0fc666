"""`wait_signal`: the readiness goes down, accepting goes on for the lame-duck time, leaving the block drains."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time

import pytest

from socketkit import connect, serve
from socketkit.blocking import BlockingServer
from socketkit.engines.readiness import READINESS
from socketkit.errors import OptionError
from support.connections import PATIENCE, ask, call, read_all
from support.programs import Program

SERVICE = """
import asyncio, contextlib, signal, sys
from socketkit import engines, serve

how, lame_duck, grace = sys.argv[1:4]
addresses = sys.argv[4:] or ["tcp://127.0.0.1:0"]

def say(*words):
    print(*words, file=sys.stderr, flush=True)

async def talk(connection):
    async for line in connection:
        if line == "slow":
            await connection.send("begun")
            await connection.flush()
            await connection.engine.sleep(0.5)
        if line == "stuck":
            await connection.send("begun")
            await connection.flush()
            await connection.engine.sleep(1000)
        await connection.send(line)

def plain(connection):
    for line in connection:
        connection.send(line)

before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

async def main():
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(serve(talk, address, framing="lines", grace=grace, engine=made))
            for address in addresses
        ]
        for server in servers:
            say("listening", server.addresses[0])
        number = await servers[-1].wait_signal(lame_duck=lame_duck, others=servers[:-1])
        say("returned", number, *[server.is_ready for server in servers])
    say("drained")

def main_in_plain_code(handler):
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(serve(handler, address, framing="lines", grace=grace, engine=engine))
            for address in addresses
        ]
        for server in servers:
            say("listening", server.addresses[0])
        number = servers[-1].wait_signal(lame_duck=lame_duck, others=servers[:-1])
        say("returned", number, *[server.is_ready for server in servers])
    say("drained")

way, _, engine = how.partition("-")
engine = engine or None
made = engines.make(engine) if way == "ours" else None
if way == "plain":
    main_in_plain_code(plain if engine == "blocking" else talk)
elif way == "asyncio":
    asyncio.run(main())
elif way == "uvloop":
    import uvloop
    uvloop.run(main())
elif way == "trio":
    import trio
    trio.run(main)
else:
    made.run(main())
after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
say("handlers restored" if after == before else f"handlers {before} became {after}")
"""

HOW = [
    "asyncio", "uvloop", "trio", "ours-epoll", "ours-poll", "ours-select", "ours-blocking", "plain-epoll",
    "plain-uvloop", "plain-asyncio", "plain-trio", "plain-blocking", "plain",
]  # fmt: skip


@pytest.fixture
def start(tmp_path, manager):
    """Starts the service, and returns when it waits for a signal."""
    from socketkit import engines

    script = tmp_path / "service.py"
    script.write_text(SERVICE)
    programs = []

    def start(how, *arguments):
        engine = how.rpartition("-")[2]
        if engine != "plain" and (reason := engines.missing(engine)):
            pytest.skip(reason)
        for earlier in programs:  # its trial was too slow; what it has told the manager is not the next one's
            earlier.__exit__()
        manager.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while manager.recv(1000):
                pass
        manager.settimeout(PATIENCE)
        program = Program(sys.executable, str(script), how, *arguments, env={"NOTIFY_SOCKET": manager.getsockname()})
        programs.append(program)
        program.address()  # or its error
        assert manager.recv(1000) == b"READY=1"
        return program

    yield start
    for program in programs:
        program.__exit__()


@pytest.fixture
def manager(tmp_path):
    """A service manager's socket (NOTIFY_SOCKET), bound in this process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE)
        yield sock


def is_refused(address):
    try:
        call(address).close()
    except OSError:
        return True
    return False


class TooSlow(Exception):
    """This machine took longer than the lame-duck time for what was to happen within it."""


LAME_DUCKS = (0.6, 4.0, 20.0)
"""Seconds. The first is enough unless the machine is busy."""


def in_time(trial):
    """Make the trial with a lame-duck time, and with a longer one where that was too short for this machine."""
    for seconds in LAME_DUCKS[:-1]:
        with contextlib.suppress(TooSlow):
            return trial(seconds)
    return trial(LAME_DUCKS[-1])


@contextlib.contextmanager
def within(seconds):
    """What fails here fails the test, unless it was too late."""
    began = time.monotonic()
    try:
        yield
    except (AssertionError, OSError) as error:
        if time.monotonic() - began < seconds or seconds == LAME_DUCKS[-1]:
            raise
        raise TooSlow from error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("how", HOW)
def test_accepts_for_lame_duck_then_refuses(start, manager, how, number):
    """After the signal new connections are served for the lame-duck time, then refused; readiness is down at once."""

    def trial(seconds):
        program = start(how, f"{seconds}s", "20s")
        address = program.address()
        with contextlib.ExitStack() as clients:
            old = clients.enter_context(call(address))
            assert ask(old, b"hello") == b"hello"
            began = time.monotonic()
            with within(seconds):
                program.process.send_signal(number)
                assert manager.recv(1000) == b"STOPPING=1"
                late = clients.enter_context(call(address))
                assert ask(late, b"still") == b"still"
                assert ask(old, b"too") == b"too"
            line = program.wait_line("returned")
            assert time.monotonic() - began >= seconds
            assert line == f"returned {int(number)} False"
            assert is_refused(address)
            assert read_all(late) == b""  # idle: ended as if its peer had ended
        assert program.wait() == 0
        assert program.stderr_lines[-2:] == ["drained", "handlers restored"]

    in_time(trial)


@pytest.mark.parametrize("how", [how for how in HOW if how not in ("plain-blocking", "ours-blocking")])
def test_request_in_flight_is_answered(start, how):
    """What was asked before the signal is answered within the grace, also without a lame-duck time."""
    program = start(how, "0s", "20s")
    with call(program.address()) as client:
        assert ask(client, b"slow") == b"begun"
        program.process.send_signal(signal.SIGTERM)
        program.wait_line("returned 15")
        assert client.recv(100) == b"slow\n"
        assert read_all(client) == b""
    assert program.wait() == 0
    assert "drained" in program.stderr_lines


@pytest.mark.parametrize(
    "how", ["asyncio", "uvloop", "trio", "ours-epoll", "ours-blocking", "plain-epoll", "plain-uvloop"]
)
def test_second_signal_ends_at_once(start, how):
    """A second signal while it drains cuts what is left, as in `run`; the program ends in good order."""
    program = start(how, "0s", "60s")
    with call(program.address()) as client:
        assert ask(client, b"stuck") == b"begun"
        program.process.send_signal(signal.SIGTERM)
        program.wait_line("returned 15")
        began = time.monotonic()
        program.process.send_signal(signal.SIGTERM)
        assert program.wait() == 0
        assert time.monotonic() - began < 30
    assert program.stderr_lines[-2:] == ["drained", "handlers restored"]


@pytest.mark.parametrize("how", ["asyncio", "trio", "ours-poll", "ours-blocking", "plain", "plain-blocking"])
def test_second_signal_ends_lame_duck(start, manager, how):
    """A second signal does not wait for the lame-duck time."""
    program = start(how, "60s", "60s")
    address = program.address()
    program.process.send_signal(signal.SIGINT)
    assert manager.recv(1000) == b"STOPPING=1"  # else the second may be handled first, inside the first one's handler
    with call(address) as client:
        ask(client, b"hello")
        began = time.monotonic()
        program.process.send_signal(signal.SIGTERM)
        program.wait_line("returned 2")
        assert program.wait() == 0
        assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "how", ["asyncio", "trio", "ours-epoll", "ours-blocking", "plain-epoll", "plain-blocking", "plain"]
)
def test_several_servers_stop_together(start, how):
    """`others` stop with the server that waits: all accept for the lame-duck time, all refuse after it."""

    def trial(seconds):
        program = start(how, f"{seconds}s", "20s", "tcp://127.0.0.1:0", "tcp://127.0.0.1:0")
        addresses = [program.address(1), program.address(2)]
        with within(seconds):
            program.process.send_signal(signal.SIGTERM)
            for address in addresses:
                with call(address) as client:
                    assert ask(client, b"hello") == b"hello"
        program.wait_line("returned 15 False False")
        assert all(map(is_refused, addresses))
        assert program.wait() == 0
        assert program.stderr_lines[-1] == "handlers restored"

    in_time(trial)


@pytest.mark.parametrize("workers", [1, 2])
def test_run_obeys_lame_duck(tmp_path, manager, workers):
    """`run` accepts for the time of its option too, and so does each worker, whose supervisor does not kill it."""
    script = tmp_path / "run.py"
    script.write_text(
        SERVICE.partition("before =")[0] + "serve(talk, 'tcp://127.0.0.1:0', framing='lines',"
        " lame_duck='1.5s', grace='0.1s').run(workers=int(sys.argv[1]),"
        " listening=lambda found: say('listening', found[0]))\n"
    )
    environment = {"NOTIFY_SOCKET": manager.getsockname()}
    with Program(sys.executable, str(script), str(workers), "", "", env=environment) as program:
        address = program.address()
        assert manager.recv(1000) == b"READY=1"
        for _ in range(40 * (workers - 1)):  # until every worker serves
            with call(address) as client:
                assert ask(client, b"hello") == b"hello"
        began = time.monotonic()
        program.process.send_signal(signal.SIGTERM)
        assert manager.recv(1000) == b"STOPPING=1"
        with call(address) as client:
            assert ask(client, b"hello") == b"hello"
        assert program.wait() == 0
        assert time.monotonic() - began >= 1.5


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def test_other_thread_is_refused():
    """Elsewhere than in the main thread the error says why, and nothing has changed."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    errors = []

    def work(server):
        try:
            server.wait_signal()
        except OptionError as error:
            errors.append(str(error))

    with serve(echo, "tcp://127.0.0.1:0", engine="poll") as server:
        thread = threading.Thread(target=work, args=(server,))
        thread.start()
        thread.join()
        assert server.is_ready
    assert errors == ["wait_signal works in the main thread only, because Python's signal handlers run there"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_thread_is_refused_in_async_code(engine_name):
    """The same where an engine runs in another thread."""
    from socketkit import engines

    engine, errors = engines.make(engine_name), []

    async def main():
        async with serve(echo, "tcp://127.0.0.1:0", engine=engine) as server:
            try:
                await server.wait_signal()
            except OptionError as error:
                errors.append(str(error))

    thread = threading.Thread(target=lambda: engine.run(main()))
    thread.start()
    thread.join(PATIENCE)
    assert len(errors) == 1 and "main thread" in errors[0]


def test_cancelled_wait_restores_handlers(engine):
    """A wait that is cancelled leaves no handler behind, and the server is ready as before."""
    from support.running import Running, turns

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    if engine.blocks:
        pytest.skip("the task would be a thread, which is refused")

    async def main():
        async with serve(echo, "tcp://127.0.0.1:0", engine=engine) as server:
            waiting = Running(engine, server.wait_signal())
            await turns(engine)
            during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
            waiting.cancel()
            assert isinstance(await waiting.outcome(), engine.cancelled)
            assert server.is_ready
            return during

    during = engine.run(main())
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert during != before
    assert after == before or engine.name in ("asyncio", "uvloop")  # whose runner sets its own for SIGINT meanwhile
    assert after[1] == before[1]


def test_closed_server_ends_wait():
    """A server that another thread closes ends the wait, with None."""
    before = signal.getsignal(signal.SIGTERM)
    with serve(echo, "tcp://127.0.0.1:0", engine="poll") as server:
        closer = threading.Thread(target=server.close)
        closer.start()
        assert server.wait_signal() is None
        closer.join()
    assert signal.getsignal(signal.SIGTERM) == before


def test_second_signal_takes_no_number(engine_name):
    """A second signal ends the server at once; the wait returns the first one, whichever thread is the faster."""

    before = signal.getsignal(signal.SIGTERM)

    def strike(server):
        while signal.getsignal(signal.SIGTERM) == before and not has_returned.wait(0.001):
            pass
        for _ in range(2):
            if not has_returned.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
            while server.is_ready and not has_returned.wait(0.001):
                pass

    for _ in range(15):
        has_returned = threading.Event()
        with serve(echo, "tcp://127.0.0.1:0", engine=engine_name) as server:
            striker = threading.Thread(target=strike, args=(server,))
            striker.start()
            try:
                number = server.wait_signal(lame_duck=PATIENCE)
            finally:
                has_returned.set()
                striker.join()
        assert number == signal.SIGTERM


class DroppingEngine(READINESS["poll"]):
    """Takes a call of another thread and does not make it, as in the last moment before it ends; makes later ones."""

    def __init__(self):
        super().__init__()
        self.is_dropping = False
        self.has_dropped = threading.Event()

    def from_thread(self, callback):
        if self.is_dropping:
            self.is_dropping = False
            self.has_dropped.set()
        else:
            super().from_thread(callback)


def test_wait_that_begins_as_the_server_ends():
    """The wait ends with None, also when the engine drops what begins it."""
    made = []
    before = signal.getsignal(signal.SIGTERM)
    recipe = serve(echo, "tcp://127.0.0.1:0", engine="poll")
    server = BlockingServer(recipe._make, lambda: made.append(DroppingEngine()) or made[0])
    with server:

        def close():
            made[0].has_dropped.wait(PATIENCE)
            server.close()

        made[0].is_dropping = True
        closer = threading.Thread(target=close)
        closer.start()
        assert server.wait_signal() is None
        closer.join()
    assert signal.getsignal(signal.SIGTERM) == before


def test_bad_lame_duck_is_refused():
    """A time that is none is refused before a handler is set."""
    before = signal.getsignal(signal.SIGTERM)
    with serve(echo, "tcp://127.0.0.1:0", engine="poll") as server:
        with pytest.raises(OptionError, match="lame_duck"):
            server.wait_signal(lame_duck="soon")
        with pytest.raises(OptionError, match="lame_duck"):
            server.wait_signal(lame_duck=-1)
    assert signal.getsignal(signal.SIGTERM) == before


FORK = """
import os, signal, sys
from socketkit.server.signals import STOP_SIGNALS, handlers

called = []
with handlers(called.append, STOP_SIGNALS):
    pid = os.fork()
    if not pid:
        try:
            os.write(1, b"x")
            while True:
                signal.pause()
        finally:
            os._exit(1)
    sys.stdin.buffer.read(1)
    os.kill(pid, signal.SIGTERM)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print("child", status, "called", called, file=sys.stderr, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork(2)")
def test_child_of_fork_gets_its_own_signal():
    """A child that was forked while handlers are set ends by SIGTERM, as if there were none."""
    with Program(sys.executable, "-c", FORK) as program:
        assert program.process.stdout.read(1) == b"x"
        program.process.stdin.write(b"x")
        program.process.stdin.flush()
        assert program.wait_line("child") == "child -15 called []"
        assert program.wait() == 0


def test_blocks_end_in_any_order():
    """Each of several blocks is called, whichever ends first; the last one sets the earlier handler again."""
    from contextlib import ExitStack

    from socketkit.server.signals import handlers

    before, first, second = signal.getsignal(signal.SIGUSR1), [], []
    one, other = ExitStack(), ExitStack()
    one.enter_context(handlers(first.append, [signal.SIGUSR1]))
    other.enter_context(handlers(second.append, [signal.SIGUSR1]))
    os.kill(os.getpid(), signal.SIGUSR1)
    one.close()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert (first, second) == ([signal.SIGUSR1], [signal.SIGUSR1] * 2)
    other.close()
    assert signal.getsignal(signal.SIGUSR1) == before


def test_connect_while_lame_duck_is_whole(start):
    """Our own client that comes within the lame-duck time is served to its end."""

    def trial(seconds):
        program = start("plain", f"{seconds}s", "20s")
        address = program.address()
        with within(seconds):
            program.process.send_signal(signal.SIGTERM)
            with connect(address, framing="lines") as client:
                for count in range(50):
                    client.send(str(count))
                    assert client.receive(timeout=PATIENCE) == str(count)
        assert program.wait() == 0

    in_time(trial)
