"""The compiled core, an optional part: where it cannot be built, the installation succeeds without it.

Everything else about the package is in `pyproject.toml`.
"""

import os
import sys
from glob import glob

from setuptools import Extension, setup

CORE = "src/socketkit/_core"

STRICT = ["-Wall", "-Wextra", "-Werror"] if os.environ.get("SOCKETKIT_STRICT") else []
"""The tests compile the core this way; an installation does not, since a future compiler may warn of something new."""


def extensions() -> list[Extension]:
    """The extension modules of this system; none on Windows, where sockets are no descriptors."""
    if sys.platform == "win32":
        return []
    return [
        Extension(
            "socketkit._core._native",
            sources=sorted(glob(f"{CORE}/*.c")),
            depends=sorted(glob(f"{CORE}/*.h")),
            extra_compile_args=["-std=c11", "-fvisibility=hidden", *STRICT],
            optional=not STRICT,
        )
    ]


setup(ext_modules=extensions())
