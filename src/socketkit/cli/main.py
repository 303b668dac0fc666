"""The entry point. What needs nothing is answered here, before anything is loaded."""

from __future__ import annotations

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


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command, and end the process with its status."""
    _open_standard_descriptors()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words in (["--version"], ["-V"]) and _has_told_version():
        sys.exit(0)
    gc.disable()  # what is loaded stays: nothing to collect until a verb runs
    _load_later("inspect")  # click asks for it, and needs it for `--help` alone; see `lean`
    from socketkit.cli.registry import run

    sys.exit(int(run(arguments)))


def _has_told_version() -> bool:
    try:
        os.write(1, f"socketkit {__version__}\n".encode())
    except OSError:
        return False  # said by the verbs' own failure
    return True


class _Later(ModuleType):
    """Stands for a module until somebody uses it. (The standard library's `LazyLoader` loads at the next `import`.)"""

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
    """Make sure that 0, 1 and 2 are open: else the first socket would get such a number, and be taken for it."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one


if __name__ == "__main__":
    main()
