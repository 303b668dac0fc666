"""Files of UNIX sockets: only the process that created one removes it."""

from __future__ import annotations

import os
import subprocess
import sys

from socketkit.sockets.unix_paths import identity_of, remove_file


def test_remove_file_of_this_process(tmp_path):
    path = os.fsencode(tmp_path / "file")
    open(path, "wb").close()
    remove_file(path, identity_of(path))
    assert not os.path.exists(path)


def test_remove_file_that_was_replaced(tmp_path):
    path, other = os.fsencode(tmp_path / "file"), os.fsencode(tmp_path / "other")
    for made in (path, other):
        open(made, "wb").close()
    identity = identity_of(path)
    os.rename(other, path)
    remove_file(path, identity)
    assert os.path.exists(path)


def test_child_of_fork_removes_nothing(tmp_path):
    """The file is its parent's, which goes on listening there."""
    code = """if True:
        import os, sys
        from socketkit.sockets.unix_paths import identity_of, remove_file

        path = os.fsencode(sys.argv[1])
        identity = identity_of(path)
        if os.fork() == 0:
            remove_file(path, identity)
            os._exit(0)
        os.wait()
        print(os.path.exists(path))
        remove_file(path, identity)
        print(os.path.exists(path))
    """
    path = tmp_path / "file"
    path.touch()
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\nFalse\n", "")
