"""The entry point. It answers `--version` before anything is loaded."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the part of `signal` that is loaded already
import gc
import os
import sys
from types import ModuleType

from socketkit import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["main"]

# Ctrl-C while modules are loaded ends the process by the signal, without a traceback. The command's registry restores
# the handler when the verb is loaded.
if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler and __name__ != "__main__":
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command, and end the process with its status."""
    _open_standard_descriptors()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words in (["--version"], ["-V"]) and _print_version():
        sys.exit(0)
    gc.disable()  # modules stay loaded: there is nothing to collect until a verb runs
    _load_later("inspect")  # click imports it, and uses it for `--help` only; see `fast_click`
    from socketkit.cli.registry import run

    sys.exit(int(run(arguments)))


def _print_version() -> bool:
    try:
        os.write(1, f"socketkit {__version__}\n".encode())
    except OSError:
        return False  # the registry prints it, and reports the failure
    return True


class _Later(ModuleType):
    """Stands for a module until it is used. (The standard library's `LazyLoader` loads at the next `import`.)"""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        __import__(self.__name__)
        return getattr(sys.modules[self.__name__], name)


def _load_later(name: str) -> None:
    if name not in sys.modules:
        sys.modules[name] = _Later(name)


def _open_standard_descriptors() -> None:
    """Make sure that 0, 1 and 2 are open, and Python's objects for them: `sys.stdout` is None where 1 was closed.

    Otherwise the first socket would get such a number, and data meant for standard output would be sent on it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(descriptor, True)
    for descriptor, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            stream = open(descriptor, "r" if descriptor == 0 else "w", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


if __name__ == "__main__":
    main()
