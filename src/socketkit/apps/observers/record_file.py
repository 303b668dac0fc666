"""Open a file for a recording: plaintext, so only its owner may read it, and no link leads it elsewhere."""

from __future__ import annotations

import io
import os
import stat

from socketkit.errors import OptionError

__all__ = ["open_record_file"]


def open_record_file(path: str | os.PathLike[str]) -> io.FileIO:
    """Open a file for writing, with mode 0600 whatever the umask; its earlier content is removed.

    A regular file has to be ours, and must be reached neither by a symbolic link nor under a second name. A pipe, a
    terminal or another device may be reached by a link: `/dev/stderr`, and `/dev/fd/63` of a shell's `>(...)`.

    Raises:
        OptionError: it cannot be opened, or is none of these; the file is unchanged.
    """
    try:
        if _is_special(path):
            return io.FileIO(path, "w")
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        return io.FileIO(_own_file(os.open(path, flags, 0o600), path), "w")
    except OSError as error:
        is_link = os.path.islink(path)
        reason = "it is a symbolic link" if is_link else error.strerror
        raise OptionError(f"{os.fspath(path)!r} cannot be written: {reason}") from None


def _is_special(path: str | os.PathLike[str]) -> bool:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode)


def _own_file(descriptor: int, path: str | os.PathLike[str]) -> int:
    """Check and empty a regular file that is open, and take the rights of others away.

    Raises:
        OptionError: it is not ours alone.
    """
    try:
        facts = os.fstat(descriptor)
        if facts.st_uid != os.geteuid():
            raise OptionError(f"{os.fspath(path)!r} cannot be written: it belongs to another user")
        if facts.st_nlink > 1:
            raise OptionError(f"{os.fspath(path)!r} cannot be written: the file has a second name (hard link)")
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
