"""Install what `make dist` has built into bare environments, and use it there: `make dist`.

Each interpreter that is here, with the wheel, and with the sdist where no compiler can be found. The library alone,
then the command with its extra. It needs a package index for the command's dependencies.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

VERSIONS: Final = ("3.11", "3.12", "3.13")

USE: Final = """
import asyncio, importlib.metadata, pathlib, sys
import socketkit
from socketkit import _core, connect, serve

def echo(connection):
    for line in connection:
        connection.send(line)

with serve(echo, "tcp://127.0.0.1:0", framing="lines") as server:
    with connect(server.addresses[0], framing="lines") as connection:
        connection.send("one")
        assert connection.receive() == "one"

async def main():
    async def echo(connection):
        async for line in connection:
            await connection.send(line)

    async with serve(echo, "tcp://127.0.0.1:0", framing="lines") as server:
        async with connect(server.addresses[0], framing="lines") as connection:
            await connection.send("two")
            assert await connection.receive() == "two"

asyncio.run(main())
package = pathlib.Path(socketkit.__file__).parent
assert (package / "py.typed").exists()
assert importlib.metadata.version("socketkit") == socketkit.__version__
assert not list(package.rglob("*.c")), "C sources are installed"
for name in ("man/man1/socketkit.1", "bash-completion/completions/socketkit", "zsh/site-functions/_socketkit",
             "fish/vendor_completions.d/socketkit.fish"):
    assert (pathlib.Path(sys.prefix) / "share" / name).exists(), name
print("compiled" if _core.native else "pure")
"""


def find_interpreter(version: str) -> str | None:
    """The path of an interpreter; a shim of pyenv may exist and not run, so each is tried."""
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [f"python{version}", *(str(path) for path in folder.glob(f"{version}.*/bin/python{version}"))]
    for candidate in candidates:
        path = shutil.which(candidate)
        if path and subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return path
    return None


def run(*command: str, **changes: str) -> str:
    done = subprocess.run(command, env={**os.environ, **changes}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def try_one(interpreter: str, package: Path, *, compiler: str | None = None) -> str:
    """Install a package into a bare environment, use it, and return which core it has."""
    with tempfile.TemporaryDirectory() as folder:
        run(interpreter, "-m", "venv", folder)
        python, command = f"{folder}/bin/python", f"{folder}/bin/socketkit"
        changes = {} if compiler is None else {"CC": compiler}
        run(python, "-m", "pip", "install", "-q", "--no-cache-dir", str(package), **changes)
        core = run(python, "-c", USE)
        run(python, "-m", "pip", "install", "-q", f"{package}[cli]", **changes)
        assert run(command, "--version").startswith("socketkit ")
        run("sh", "-c", f"echo hello | {command} connect 'exec:cat' --linger 5s | grep -qx hello")
        return core


def main(folder: Path) -> None:
    wheels, [sdist] = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    found = 0
    for version in VERSIONS:
        interpreter = find_interpreter(version)
        if interpreter is None:
            print(f"Python {version}: not on this machine")
            continue
        found += 1
        tag = f"cp{version.replace('.', '')}-"
        for wheel in wheels:
            if tag in wheel.name or "py3-none" in wheel.name:
                print(f"Python {version}, {wheel.name}: {try_one(interpreter, wheel)}")
        print(f"Python {version}, sdist: {try_one(interpreter, sdist)}")
        core = try_one(interpreter, sdist, compiler="/bin/false")
        print(f"Python {version}, sdist without a compiler: {core}")
        assert core == "pure"
    if not found:
        raise SystemExit("no interpreter could be tried")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
