"""A recording is readable by its owner only, and no link leads it into another file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from socketkit.apps.observers.record_file import open_record_file
from socketkit.errors import OptionError


@pytest.fixture(params=[0, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_new_file_is_private(tmp_path: Path, umask: int) -> None:
    with open_record_file(tmp_path / "file") as file:
        file.write(b"secret")
    assert (tmp_path / "file").stat().st_mode & 0o077 == 0
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_own_file_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"something longer")
    path.chmod(0o644)
    with open_record_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("exists", [True, False])
def test_symlink_is_refused(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "target"
    if exists:
        target.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OptionError, match="it is a symbolic link"):
        open_record_file(tmp_path / "link")
    assert target.read_bytes() == b"precious" if exists else not target.exists()


def test_hard_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").hardlink_to(tmp_path / "target")
    with pytest.raises(OptionError, match="second name"):
        open_record_file(tmp_path / "link")
    assert (tmp_path / "target").read_bytes() == b"precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"precious")
    os.chown(path, 65534, 65534)
    with pytest.raises(OptionError, match="belongs to another user"):
        open_record_file(path)
    assert path.read_bytes() == b"precious"


def test_pipe_by_its_link() -> None:
    """`--pcap >(tshark -r -)` is a link to a pipe."""
    receiver, sender = os.pipe()
    try:
        with open_record_file(f"/dev/fd/{sender}") as file:
            file.write(b"data")
        assert os.read(receiver, 10) == b"data"
    finally:
        os.close(receiver)
        os.close(sender)


@pytest.mark.parametrize("path", ["/", "/nowhere/file"])
def test_impossible_path(path: str) -> None:
    with pytest.raises(OptionError, match="cannot be written"):
        open_record_file(path)
