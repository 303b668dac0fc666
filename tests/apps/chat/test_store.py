"""The store: what was committed is there, what cannot be written now is written later, and nothing waits for it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from socketkit.apps.chat import store as store_module
from socketkit.apps.chat.export import json_line, text_line
from socketkit.apps.chat.message import Message
from socketkit.apps.chat.store import MAX_BACKLOG, Store, StoreError, read_messages

PATIENCE = 20.0


class News:
    """Waits for what the writing thread does."""

    def __init__(self, store: Store) -> None:
        self._condition = threading.Condition()
        store.changed = self._changed

    def _changed(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def wait(self, is_so: Callable[[], bool]) -> None:
        with self._condition:
            assert self._condition.wait_for(is_so, PATIENCE)


@contextmanager
def storing(path: Path) -> Iterator[tuple[Store, News]]:
    store = Store(str(path))
    try:
        yield store, News(store)
    finally:
        store.close()


def message(number: int, text: str = "hello", room: str = "lobby") -> Message:
    return Message(number, 1000.0 + number, room, "Alice", "say", text)


def test_messages_are_kept_in_order(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    said = [message(number, f"привет {number}") for number in range(1, 2501)]
    with storing(path) as (store, news):
        assert store.next_id == 1
        for each in said:
            store.put(each)
        news.wait(lambda: store.is_kept(2500))
        assert list(read_messages(str(path))) == said  # while the host has it open
    assert list(read_messages(str(path))) == said
    with storing(path) as (store, _):
        assert store.next_id == 2501
        assert store.latest(2) == said[-2:]
    assert path.stat().st_mode & 0o077 == 0


def test_latest_of_each_room(tmp_path: Path) -> None:
    with storing(tmp_path / "chat.db") as (store, _):
        for number in range(1, 9):
            store.put(message(number, room="tea" if number % 2 else "lobby"))
    with storing(tmp_path / "chat.db") as (store, _):
        assert [each.id for each in store.latest(2)] == [5, 6, 7, 8]
        assert store.latest(0) == []


def test_close_writes_what_is_left(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "chat.db"))
    for number in range(1, 1001):
        store.put(message(number))
    assert store.close() == 0
    assert store.close() == 0
    assert len(list(read_messages(str(tmp_path / "chat.db")))) == 1000


def test_locked_file_is_written_later(tmp_path: Path) -> None:
    """While another program holds the lock, messages are settled without being kept; then they are written."""
    path = tmp_path / "chat.db"
    with storing(path) as (store, news), closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.put(message(1))
        news.wait(lambda: store.is_settled(1))
        assert not store.is_kept(1)
        ((text, fields),) = store.take_news()
        assert text.startswith("the store cannot be written") and fields == {"problem": "database is locked"}
        store.put(message(2))
        assert store.is_settled(2)  # nothing waits while it is known to fail
        assert store.take_news() == []  # once
        other.execute("COMMIT")
        news.wait(lambda: store.is_kept(2))
        assert store.take_news() == [("the store is written again: nothing was lost", {"count": 0})]
    assert [each.id for each in read_messages(str(path))] == [1, 2]


def test_backlog_is_bounded_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with storing(path) as (store, news), closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(1, MAX_BACKLOG + 4):
            store.put(message(number))
        news.wait(lambda: store.is_settled(1))
        other.execute("COMMIT")
        news.wait(lambda: store.problem is None and store.is_kept(MAX_BACKLOG))
        store.put(message(MAX_BACKLOG + 4))
        news.wait(lambda: store.is_kept(MAX_BACKLOG + 4))
        assert [store.is_kept(MAX_BACKLOG + number) for number in range(5)] == [True, False, False, False, True]
        assert store.take_news()[-1] == ("the store is written again: {count} messages were lost", {"count": 3})
        assert store.close() == 3


def test_locked_until_the_end_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    store = Store(str(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.put(message(1))
        assert store.close(timeout=0.1) == 1
        assert store.problem == "database is locked"


def test_search(tmp_path: Path) -> None:
    with storing(tmp_path / "chat.db") as (store, news):
        texts = ["Tea time", "чай в ПЯТЬ", 'a "quoted" word', "100% *", "teapot", "tea"]
        for number, text in enumerate(texts, 1):
            store.put(message(number, text, "lobby" if number < 6 else "other"))
        news.wait(lambda: store.is_kept(6))

        def found(text: str, count: int = 20) -> list[str]:
            return [each.text for each in store.search("lobby", text, count)]

        assert found("TEA") == ["Tea time", "teapot"]
        assert found("tea", 1) == ["teapot"]
        assert found("пять чай") == ["чай в ПЯТЬ"]
        assert found('"quoted"') == ['a "quoted" word']
        assert found("100%") == found("*") == ["100% *"]
        assert found("tea OR чай") == []
        assert found("nothing") == []


def test_search_without_fts5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_WORDS", "CREATE VIRTUAL TABLE words USING no_such_module(text)")
    with storing(tmp_path / "chat.db") as (store, news):
        store.put(message(1, "Чай в пять"))
        news.wait(lambda: store.is_kept(1))
        assert [each.id for each in store.search("lobby", "ПЯТЬ ЧАЙ", 5)] == [1]


def test_two_hosts_do_not_share_a_file(tmp_path: Path) -> None:
    with storing(tmp_path / "chat.db"), pytest.raises(StoreError, match="another host keeps its chat there"):
        Store(str(tmp_path / "chat.db"))


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_files_of_others_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other"
    if content is None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE messages (id)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"not a database|another program"):
        Store(str(path))
    with pytest.raises(StoreError, match=r"not a database|not the store"):
        list(read_messages(str(path)))
    assert path.read_bytes() == before


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        Store(str(tmp_path / "no" / "chat.db"))
    with pytest.raises(StoreError, match="there is no such file"):
        list(read_messages(str(tmp_path / "chat.db")))


def test_export_lines() -> None:
    said = Message(7, 0.5, "tea", "Оля", "me", 'says "hi"')
    assert json.loads(json_line(said)) == {
        "id": 7, "time": "1970-01-01T00:00:00.500+00:00", "room": "tea", "name": "Оля", "kind": "me",
        "text": 'says "hi"',
    }  # fmt: skip
    assert json_line(said).count("\n") == 1
    assert text_line(said).endswith(' [tea] ~ Оля says "hi"\n')
