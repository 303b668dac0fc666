"""A child process as a stream, on every engine: output, exit, signals, no zombies."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from contracts.stream_contract import receive_all
from socketkit.engines.engine import Engine
from socketkit.errors import BrokenError, ClosedError, DeadlineError
from socketkit.streams.process import ChildStream, start_child
from support.running import FAR, Running, turns, until
from support.streams import open_descriptors

Talk = Callable[[ChildStream], Coroutine[Any, Any, None]]


def run(engine: Engine, command: str, talk: Talk, **options: Any) -> ChildStream:
    """Talk to a child; whatever the test did, it has ended and left nothing behind."""
    made: list[ChildStream] = []

    async def main() -> None:
        await turns(engine)  # now the engine has all that it needs itself
        before = open_descriptors()
        child = start_child(engine, shlex.split(command), address=f"exec:{command}", **options)
        made.append(child)
        await talk(child)
        child.abort()
        await until(engine, lambda: child.exit_status is not None)
        await turns(engine)  # for what still waits in the background
        await until(engine, lambda: open_descriptors() <= before)

    engine.run(main())
    return made[0]


def test_cat_round_trip_and_eof(engine: Engine) -> None:
    """What is sent comes back from cat and its end is the end."""

    async def talk(child: ChildStream) -> None:
        async def say() -> None:
            await child.send(b"x" * 200_000)
            await child.send_eof()

        saying = Running(engine, say())
        assert await receive_all(child) == b"x" * 200_000
        assert await saying.outcome() is None
        await child.finish(deadline=engine.now() + FAR)
        assert child.exit_status == 0

    run(engine, "cat", talk)


def test_words_in_ascii_locale() -> None:
    """Words and variables are UTF-8, whatever the locale's encoding is; single bytes stay what they are."""
    code = """if True:
        import sys
        from socketkit import engines
        from socketkit.errors import EndOfStream
        from socketkit.streams.process import start_child

        async def main(engine):
            script = 'printf "%s" "$1$NAME"; printf "%s" "$0" >&2'
            child = start_child(
                engine, ["sh", "-c", script, "\\udcff", "\\xe9"], address="exec:sh", variables={"NAME": "\\xfc"}
            )
            data = b""
            try:
                while True:
                    data += await child.receive()
            except EndOfStream:
                await child.finish()
            sys.stdout.buffer.write(data)

        engine = engines.make("poll")
        engine.run(main(engine))
    """
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("éü".encode(), b"\xff", 0)


def test_child_reopens_dev_stdin(engine: Engine) -> None:
    """Which a socket in its place would not let it do."""

    async def talk(child: ChildStream) -> None:
        await child.send(b"through a name")
        await child.send_eof()
        assert await receive_all(child) == b"through a name"

    run(engine, "cat /dev/stdin", talk)


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)])
def test_status_as_a_shell_says_it(engine: Engine, command: str, status: int) -> None:
    """Its status is reported as a shell reports it."""

    async def talk(child: ChildStream) -> None:
        assert await receive_all(child) == b""
        await child.finish(deadline=engine.now() + FAR)
        assert child.exit_status == status

    run(engine, f"sh -c '{command}'", talk)


def test_child_end_despite_grandchild(engine: Engine) -> None:
    """The end of the child is the end though a grandchild holds the pipe."""

    async def talk(child: ChildStream) -> None:
        said = await receive_all(child)
        pid = int(said)
        assert child.exit_status == 3
        os.kill(pid, signal.SIGKILL)

    if not hasattr(os, "pidfd_open"):
        pytest.skip("this system tells of no child's end by a descriptor")
    run(engine, "sh -c 'sleep 60 & echo $!; exit 3'", talk)


def test_child_that_stops_reading_is_loss(engine: Engine) -> None:
    """A child that reads no more is a loss that says so."""

    async def talk(child: ChildStream) -> None:
        assert await child.receive() == b"closed\n"
        with pytest.raises(BrokenError, match=r"sending to exec:sh .* Broken pipe"):
            await child.send(bytes(1_000_000))

    run(engine, "sh -c 'exec <&-; echo closed; sleep 60'", talk)


def test_finish_sends_eof_and_waits(engine: Engine) -> None:
    """Finishing gives it the end of its input and waits for it."""

    async def talk(child: ChildStream) -> None:
        await child.finish(deadline=engine.now() + FAR)
        await child.finish(deadline=engine.now() + FAR)  # harmless twice
        assert child.exit_status == 5
        with pytest.raises(ClosedError):
            child.send_now(b"more")

    run(engine, "sh -c 'cat; echo nobody hears this; exit 5'", talk)


def test_stuck_child_signalled_at_deadline(engine: Engine) -> None:
    """One that does not end is reported so by a signal at the deadline."""

    async def talk(child: ChildStream) -> None:
        await child.finish(deadline=engine.now() + 0.02)
        assert child.exit_status == 128 + signal.SIGTERM

    run(engine, "sleep 60", talk)


@pytest.mark.slow
def test_ignored_sigterm_then_sigkill(engine: Engine) -> None:
    async def talk(child: ChildStream) -> None:
        assert await child.receive() == b"deaf\n"
        await child.finish(deadline=engine.now() + 0.02)
        assert child.exit_status == 128 + signal.SIGKILL

    run(engine, "sh -c 'trap \"\" TERM; echo deaf; sleep 60 & wait; sleep 60'", talk, own_session=True)


def test_endless_child_output_is_cut(engine: Engine) -> None:
    """One that never stops talking is not received out."""

    async def talk(child: ChildStream) -> None:
        await child.finish(deadline=engine.now() + FAR)
        assert child.exit_status == 128 + signal.SIGPIPE

    run(engine, "yes", talk)


def test_process_group_is_ended(engine: Engine) -> None:
    """A client takes its own children along."""

    async def talk(child: ChildStream) -> None:
        pid = int(await child.receive())
        child.abort()
        await until(engine, lambda: not is_alive(pid))

    run(engine, "sh -c 'sleep 60 & echo $!; wait'", talk, own_session=True)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and that its parent has not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as facts:
            return facts.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_cancelled_finish_ends_child(engine: Engine) -> None:
    """A cancelled close ends it all the same."""

    async def talk(child: ChildStream) -> None:
        finishing = Running(engine, child.finish(deadline=engine.now() + FAR))
        await turns(engine)
        finishing.cancel()
        assert isinstance(await finishing.outcome(), engine.cancelled)
        await until(engine, lambda: child.exit_status is not None)
        assert child.exit_status == 128 + signal.SIGTERM

    run(engine, "sleep 60", talk)


def test_environment_is_inherited_and_extended(engine: Engine) -> None:
    """Its environment is ours and what is added."""

    async def talk(child: ChildStream) -> None:
        assert await receive_all(child) == f"{os.environ['PATH']} mine\n".encode()

    run(engine, "sh -c 'echo $PATH $OURS'", talk, variables={"OURS": "mine"})


def test_it_inherits_no_descriptor_of_ours(engine: Engine) -> None:
    async def talk(child: ChildStream) -> None:
        assert eval(await receive_all(child)) <= {"0", "1", "2", "3"}  # the last is that of the listing itself

    run(engine, f"{sys.executable} -c 'import os; print(set(os.listdir(\"/proc/self/fd\")))'", talk)


def test_receive_deadline_with_silent_child(engine: Engine) -> None:
    """Receiving waits until its deadline while the child is silent."""

    async def talk(child: ChildStream) -> None:
        with pytest.raises(DeadlineError):
            await child.receive(deadline=engine.now() + 0.005)
        await child.send(b"late")
        assert await child.receive(deadline=engine.now() + FAR) == b"late"

    run(engine, "cat", talk)


def test_unrunnable_command_leaks_nothing(engine: Engine) -> None:
    """What cannot be run leaves nothing behind."""
    before = open_descriptors()
    with pytest.raises(FileNotFoundError):
        start_child(engine, ["/nowhere/to/be/found"], address="exec:x")
    assert open_descriptors() <= before
