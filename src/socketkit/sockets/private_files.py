"""Create files that only their owner may read: captures, dumps, keys of TLS."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["open_private"]


def open_private(path: str | os.PathLike[str], *, append: bool = False) -> int:
    """Open a file for writing and create it with mode 0600, so that nobody else reads what it will hold.

    A file that exists keeps its mode: its owner has chosen it. In a folder where others may write (/tmp) a symbolic
    link is not followed, and another user's file is not written: they may have put it there. Elsewhere links are
    followed, as /dev/stdout is one.

    Args:
        path: where to write.
        append: whether what the file holds stays; else it is emptied.

    Returns:
        A descriptor that no child process inherits.

    Raises:
        OSError: it cannot be written. ELOOP: a symbolic link in a folder where others may write. EACCES: another
            user's file there.
        ValueError: the path holds a zero byte.
    """
    path = os.fspath(path)
    is_shared = _is_shared(os.path.dirname(path) or ".")
    no_link = getattr(os, "O_NOFOLLOW", 0) if is_shared else 0
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | no_link | (os.O_APPEND if append else 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            if is_shared and found.st_uid != os.geteuid():
                raise OSError(errno.EACCES, "the file is another user's, in a folder where others may write", path)
            if not append:
                os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_shared(folder: str) -> bool:
    """Whether users other than us and root may create files in this folder."""
    if os.name != "posix":
        return False
    found = os.stat(folder)
    return bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) or found.st_uid not in (0, os.geteuid())
