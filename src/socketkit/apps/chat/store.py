"""What was said in a chat, kept in an SQLite file.

One thread writes, in batches; the chat itself never waits for the disk. While the file cannot be written (a full disk,
a lock of another program) messages are kept in memory, and written later.

Pragmas: `journal_mode=WAL`, so that `chat export` and searches read while the host writes. `synchronous=FULL`: a commit
is on the disk when it returns, so no line that a guest has seen is lost with the power either; it costs one fsync a
batch, at most fifty a second. `busy_timeout` is short, because the chat waits for the first commit that fails.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any, Final

from socketkit.apps.chat.history import MAX_ROOMS
from socketkit.apps.chat.message import Message
from socketkit.errors import SocketkitError

if TYPE_CHECKING:
    from socketkit.apps.chat.bus.origin import Origin, State

__all__ = ["Store", "StoreError", "read_messages"]

BATCH_TIME: Final = 0.02
"""Seconds between two commits at least: a message waits no longer for others, and the disk syncs 50 times a second."""

BATCH_COUNT: Final = 1000
"""Messages of one commit."""

BUSY_TIMEOUT: Final = 0.1
"""Seconds that a commit waits for the lock of another program."""

RETRY_TIME: Final = 0.25
"""Seconds after which a failed commit is tried again."""

MAX_BACKLOG: Final = 10_000
"""Messages that are kept in memory while the file cannot be written: at most 320 MiB, mostly one."""

SEARCH_TIME: Final = 2.0
"""Seconds that a search may take."""

APPLICATION_ID: Final = 0x736B6368
"""Marks the file as ours (`PRAGMA application_id`): "skch"."""

_SCHEMA: Final = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, room TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX messages_of_room ON messages (room, id);
"""
_BUS: Final = """
CREATE TABLE IF NOT EXISTS bus_hosts (host TEXT PRIMARY KEY, number INTEGER NOT NULL, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS bus_position (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), position TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bus_unsent (
    id INTEGER PRIMARY KEY, host TEXT NOT NULL, number INTEGER NOT NULL, count INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS bus_run (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), host TEXT NOT NULL)
"""
"""Of several hosts with a bus: up to where the log was read, written with the messages that were read; and which
messages were shown before they were in the log. An id is that of `messages`."""

_WORDS: Final = "CREATE VIRTUAL TABLE words USING fts5(text, content='messages', content_rowid='id')"

News = tuple[str, dict[str, object]]


class StoreError(SocketkitError):
    """A chat's file cannot be opened, read or written; the text says which and why."""


class Store:
    """The file of a chat, open for writing by one host.

    Attributes:
        next_id: the id of the first message of this run.
        chat_id: tells this file from others: ids of messages are of one file.
        changed: is called by the writing thread after each commit, and each that failed.

    Concurrency: `put` and the questions are called by one thread; `search` by any.
    """

    def __init__(self, path: str) -> None:
        """Open the file, or make it, readable by its owner alone.

        Args:
            path: of the file; SQLite puts two more beside it while it is open.

        Raises:
            StoreError: it cannot be opened, is no chat, or another host uses it.
        """
        self.path = path
        self.changed: Callable[[], object] = lambda: None
        self._lock_file = _lock(path)
        with ExitStack() as undo:
            undo.callback(os.close, self._lock_file)
            try:
                self._database = sqlite3.connect(
                    path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=32
                )
                undo.callback(self._database.close)
                self._has_words = _prepare(self._database)
                self.chat_id = _identity(self._database)
                last = self._database.execute("SELECT coalesce(max(id), 0) FROM messages").fetchone()[0]
            except (sqlite3.Error, StoreError) as error:
                raise StoreError(f"{path}: {error}") from None
            undo.pop_all()
        self.next_id: int = last + 1
        self._news: list[News] = []
        self._waiting: deque[Message] = deque()
        self._origins: dict[int, Origin] = {}
        self._kept_id = self.next_id - 1
        self._lost: list[tuple[int, int]] = []
        self._lost_count = 0
        self._problem: str | None = None
        self._close_deadline: float | None = None
        self._condition = threading.Condition()
        self._writer = threading.Thread(target=self._write_all, name="chat-store", daemon=True)
        self._writer.start()

    def put(self, message: Message, origin: Origin | None = None) -> None:
        """Write this message soon.

        Args:
            message: its id is above those before it.
            origin: where it stands in the log of a bus; kept in the same commit.
        """
        with self._condition:
            if len(self._waiting) < MAX_BACKLOG:
                self._waiting.append(message)
                if origin is not None:
                    self._origins[message.id] = origin
            else:
                self._lose(message.id)
            self._condition.notify()

    def is_settled(self, message_id: int) -> bool:
        """Whether this message may be shown: it is kept, or cannot be kept now."""
        return self._problem is not None or message_id <= self._kept_id

    def is_kept(self, message_id: int) -> bool:
        """Whether this message was committed to the file."""
        return message_id <= self._kept_id and not any(first <= message_id <= last for first, last in self._lost)

    def take_news(self) -> list[News]:
        """What the host is told since the last call: texts of `texts` and their fields."""
        with self._condition:
            news, self._news = self._news, []
        return news

    def latest(self, count: int) -> list[Message]:
        """The last messages of each room, in their order; call it before the first `put`."""
        rooms = self._database.execute(
            "SELECT room, max(id) AS last FROM messages GROUP BY room ORDER BY last DESC LIMIT ?", (MAX_ROOMS,)
        ).fetchall()
        rows: list[Any] = []
        for room, _ in rooms:
            rows += self._database.execute(
                f"SELECT {_COLUMNS} FROM messages WHERE room = ? ORDER BY id DESC LIMIT ?", (room, count)
            )
        return [Message(*row) for row in sorted(rows)]

    def begin_run(self, host: str) -> State:
        """Where this host has stopped reading the log of its bus; call it before the first `put`.

        Args:
            host: the name of this run; the next one is given it.
        """
        from socketkit.apps.chat.bus.origin import Origin, State

        ask = self._database.execute
        earlier = ask("SELECT host FROM bus_run").fetchone()
        ask("INSERT OR REPLACE INTO bus_run VALUES (1, ?)", (host,))
        position = ask("SELECT position FROM bus_position").fetchone()
        hosts = ask("SELECT host, number, count FROM bus_hosts").fetchall()
        unsent = ask(
            "SELECT u.host, u.number, u.count, m.id, m.at, m.room, m.name, m.kind, m.text FROM bus_unsent AS u "
            "JOIN messages AS m ON m.id = u.id ORDER BY u.id"
        ).fetchall()
        return State(
            position[0] if position else "",
            {host: number for host, number, _ in hosts},
            {host: count for host, _, count in hosts},
            tuple((Origin(row[0], row[1], row[2], None, True), Message(*row[3:])) for row in unsent),
            earlier[0] if earlier else "",
        )

    def search(self, room: str, text: str, count: int) -> list[Message]:
        """The last messages of a room that hold all these words, in any case; with FTS5 also beginnings of words.

        Raises:
            StoreError: the file cannot be read, or it takes too long.
        """
        return self._read(lambda database: _search(database, room, text, count, self._has_words))

    def since(self, room: str, message_id: int, count: int) -> list[Message]:
        """The last messages of a room with a larger id, the oldest first. Raises as `search` does."""
        return self._read(lambda database: _last(database, "room = ? AND id > ?", (room, message_id, count)))

    def before(self, room: str, message_id: int, count: int) -> list[Message]:
        """The last messages of a room with a smaller id, the oldest first. Raises as `search` does."""
        return self._read(lambda database: _last(database, "room = ? AND id < ?", (room, message_id, count)))

    def _read(self, read: Callable[[sqlite3.Connection], list[Message]]) -> list[Message]:
        last = time.monotonic() + SEARCH_TIME
        try:
            with closing(_open_to_read(self.path)) as database:
                database.set_progress_handler(lambda: time.monotonic() > last, 10_000)
                return read(database)
        except sqlite3.OperationalError as error:
            reason = f"it took longer than {SEARCH_TIME:g} s" if "interrupt" in str(error) else str(error)
            raise StoreError(reason) from None
        except sqlite3.Error as error:
            raise StoreError(str(error)) from None

    def close(self, *, timeout: float = 5.0) -> int:
        """Write what is left, and close the file. Harmless twice.

        Args:
            timeout: seconds that this may take.

        Returns:
            The number of messages that are not in the file.
        """
        with self._condition:
            if self._close_deadline is None:
                self._close_deadline = time.monotonic() + timeout
            self._condition.notify()
        self._writer.join(timeout + 1.0)
        return self._lost_count + len(self._waiting)

    def stall(self) -> None:
        """Note that a commit takes too long: until one has succeeded, messages are settled without being kept."""
        self._failed("the disk does not answer")

    @property
    def problem(self) -> str | None:
        """Why the file cannot be written now; None: it can."""
        return self._problem

    def _lose(self, message_id: int) -> None:
        self._lost_count += 1
        if self._lost and self._lost[-1][1] == message_id - 1:
            self._lost[-1] = (self._lost[-1][0], message_id)
        else:
            self._lost.append((message_id, message_id))

    def _write_all(self) -> None:
        """The writing thread."""
        begun = 0.0
        while (batch := self._next_batch(begun)) is not None:
            begun = time.monotonic()
            try:
                self._write(batch)
            except sqlite3.Error as error:
                self._failed(str(error))
            else:
                self._succeeded(batch)
            with suppress(RuntimeError):  # the engine has ended
                self.changed()
        self._database.close()
        os.close(self._lock_file)  # only now: closing any descriptor of the file drops SQLite's own locks (fcntl(2))

    def _next_batch(self, begun: float) -> list[Message] | None:
        """Wait for messages, and for the time between two commits; None: the store is closed."""
        with self._condition:
            while True:
                now = time.monotonic()
                deadline = self._close_deadline
                if deadline is not None and (not self._waiting or (self._problem is not None and now > deadline)):
                    return None
                pause = begun + (BATCH_TIME if self._problem is None else RETRY_TIME) - now
                if self._waiting and (pause <= 0 or (deadline is not None and self._problem is None)):
                    return [self._waiting[index] for index in range(min(len(self._waiting), BATCH_COUNT))]
                self._condition.wait(max(0.001, pause) if self._waiting else None)

    def _write(self, batch: list[Message]) -> None:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            rows = [(each.id, each.at, each.room, each.name, each.kind, each.text) for each in batch]
            database.executemany(f"INSERT INTO messages ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            if self._has_words:
                words = [(each.id, each.text) for each in batch]
                database.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", words)
            if self._origins:
                _write_origins(
                    database, [(each.id, self._origins[each.id]) for each in batch if each.id in self._origins]
                )
            database.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise

    def _failed(self, problem: str) -> None:
        with self._condition:
            if self._problem is None:
                text = "the store cannot be written ({problem}): the chat goes on, and what is said is written later"
                self._news.append((text, {"problem": problem}))
            self._problem = problem

    def _succeeded(self, batch: list[Message]) -> None:
        with self._condition:
            for each in batch:
                self._waiting.popleft()
                self._origins.pop(each.id, None)
            self._kept_id = batch[-1].id
            if self._problem is None or self._waiting:
                return
            self._problem = None
            count = self._lost_count
            text = "the store is written again: {count} messages were lost"
            self._news.append((text if count else "the store is written again: nothing was lost", {"count": count}))


_COLUMNS: Final = "id, at, room, name, kind, text"


def read_messages(path: str) -> Iterator[Message]:
    """All messages of a file, in their order; a host may write to it meanwhile.

    Raises:
        StoreError: it cannot be read, or is no chat.
    """
    try:
        with closing(_open_to_read(path)) as database:
            if not _is_ours(database):
                raise StoreError(f"{path} is not the store of a chat")
            for row in database.execute(f"SELECT {_COLUMNS} FROM messages ORDER BY id"):
                yield Message(*row)
    except sqlite3.Error as error:
        reason = error if os.path.exists(path) else "there is no such file"
        raise StoreError(f"{path}: {reason}") from None


def _open_to_read(path: str) -> sqlite3.Connection:
    from urllib.parse import quote

    return sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT)


def _lock(path: str) -> int:
    """Open the file, made readable by its owner alone, and lock it against other hosts (flock(2)).

    Raises:
        StoreError: it cannot be opened, or is locked.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        reason = "another host keeps its chat there" if isinstance(error, BlockingIOError) else error.strerror
        raise StoreError(f"{path}: {reason}") from None
    return descriptor


def _is_ours(database: sqlite3.Connection) -> bool:
    return bool(database.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID)


def _identity(database: sqlite3.Connection) -> str:
    """A number that the file got once (`PRAGMA user_version`)."""
    if not (number := database.execute("PRAGMA user_version").fetchone()[0]):
        number = secrets.randbelow(2**31 - 1) + 1
        database.execute(f"PRAGMA user_version={number}")
    return f"{number:x}"


def _prepare(database: sqlite3.Connection) -> bool:
    """Make the tables of a new file, and set the pragmas; whether words are indexed.

    Raises:
        StoreError: it is a database of another program.
    """
    is_new = not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not is_new and not _is_ours(database):
        raise StoreError("it is a database of another program")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    if is_new:
        database.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            database.execute(statement)
        with suppress(sqlite3.OperationalError):  # built without FTS5: a search looks at each message
            database.execute(_WORDS)
        database.execute(f"PRAGMA application_id={APPLICATION_ID}")
        database.execute("COMMIT")
    for statement in _BUS.split(";"):
        database.execute(statement)
    try:
        database.execute("SELECT count(*) FROM words WHERE words MATCH 'a'")
    except sqlite3.OperationalError:
        return False
    return True


def _last(database: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[Message]:
    rows = database.execute(f"SELECT {_COLUMNS} FROM messages WHERE {where} ORDER BY id DESC LIMIT ?", values)
    return [Message(*row) for row in reversed(rows.fetchall())]


def _write_origins(database: sqlite3.Connection, origins: list[tuple[int, Origin]]) -> None:
    """Keep up to where the log was read with these messages, and which of them are not in it."""
    read = [(each.host, each.number, each.count) for _, each in origins if not each.is_unsent]
    database.executemany("INSERT OR REPLACE INTO bus_hosts VALUES (?, ?, ?)", read)
    database.executemany(
        "DELETE FROM bus_unsent WHERE host = ? AND number <= ?", [(host, number) for host, number, _ in read]
    )
    places = [(each.position,) for _, each in origins if each.position is not None]
    database.executemany("INSERT OR REPLACE INTO bus_position VALUES (1, ?)", places[-1:])
    unsent = [(number, each.host, each.number, each.count) for number, each in origins if each.is_unsent]
    database.executemany("INSERT INTO bus_unsent VALUES (?, ?, ?, ?)", unsent)


def _search(database: sqlite3.Connection, room: str, text: str, count: int, has_words: bool) -> list[Message]:
    words = [word for word in text.split() if any(map(str.isalnum, word))]
    if has_words and words:
        wanted = " ".join('"' + word.replace('"', '""') + '"*' for word in words)
        rows = database.execute(
            "SELECT m.id, m.at, m.room, m.name, m.kind, m.text FROM words JOIN messages AS m ON m.id = words.rowid "
            "WHERE words MATCH ? AND m.room = ? ORDER BY m.id DESC LIMIT ?",
            (wanted, room, count),
        )
    else:
        database.create_function(
            "holds", 2, lambda said, wanted: all(word in said.casefold() for word in wanted.split()), deterministic=True
        )
        rows = database.execute(
            f"SELECT {_COLUMNS} FROM messages WHERE room = ? AND holds(text, ?) ORDER BY id DESC LIMIT ?",
            (room, text.casefold(), count),
        )
    return [Message(*row) for row in reversed(rows.fetchall())]
