"""Files for captures and keys: mode 0600, no links in folders that others may write."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from socketkit.sockets.private_files import open_private


def write(path, data: bytes, **options) -> int:
    """Write through `open_private`; the mode of the file."""
    descriptor = open_private(path, **options)
    try:
        assert not os.get_inheritable(descriptor)
        os.write(descriptor, data)
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


@pytest.fixture
def no_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_new_file_has_mode_0600(tmp_path):
    assert write(tmp_path / "new", b"1") == 0o600


def test_existing_file_is_emptied_or_appended(tmp_path):
    """Its mode stays: the owner has chosen it."""
    path = tmp_path / "old"
    path.write_bytes(b"long before")
    path.chmod(0o640)
    assert write(path, b"1") == 0o640
    assert path.read_bytes() == b"1"
    write(path, b"2", append=True)
    assert path.read_bytes() == b"12"


@pytest.mark.parametrize("mode", [0o1777, 0o770])
def test_link_in_shared_folder(tmp_path, mode):
    """The target is neither emptied nor written, and a dangling link creates nothing."""
    tmp_path.chmod(mode)
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"kept")
    for place in (target, tmp_path / "nothing"):
        link.unlink(missing_ok=True)
        link.symlink_to(place)
        with pytest.raises(OSError) as caught:
            open_private(link)
        assert caught.value.errno == errno.ELOOP
    assert target.read_bytes() == b"kept"
    assert not (tmp_path / "nothing").exists()


def test_link_in_own_folder(tmp_path):
    """As /dev/stdout, which is a link in a folder of root's."""
    tmp_path.chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write(tmp_path / "link", b"1")
    assert (tmp_path / "target").read_bytes() == b"1"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_foreign_file_in_shared_folder(tmp_path):
    tmp_path.chmod(0o777)
    path = tmp_path / "theirs"
    path.write_bytes(b"kept")
    os.chown(path, 65534, 65534)
    with pytest.raises(PermissionError, match="another user's"):
        open_private(path)
    assert path.read_bytes() == b"kept"


def test_pipe_is_not_truncated(tmp_path):
    """`--pcap >(wireshark ...)` writes to a pipe: /dev/fd/63."""
    source, sink = os.pipe()
    write(f"/dev/fd/{sink}", b"1")
    assert os.read(source, 10) == b"1"
    os.close(source)
    os.close(sink)


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_private(tmp_path / "no" / "file")
    with pytest.raises(ValueError):
        open_private(f"{tmp_path}/a\0b")
