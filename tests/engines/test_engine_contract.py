"""Every engine keeps every promise."""

from __future__ import annotations

from contracts.engine_runs import RunContract, ThreadContract, TurnContract
from contracts.engine_tasks import CancelContract, GroupContract, TaskContract
from contracts.engine_waits import CallContract, EventContract, TimeContract, WaitContract


class TestWaits(WaitContract):
    pass


class TestTime(TimeContract):
    pass


class TestEvents(EventContract):
    pass


class TestCalls(CallContract):
    """Calls at a moment."""


class TestTasks(TaskContract):
    pass


class TestCancellation(CancelContract):
    pass


class TestGroups(GroupContract):
    pass


class TestTurns(TurnContract):
    pass


class TestThreads(ThreadContract):
    pass


class TestRuns(RunContract):
    pass
