"""Ready when a command exits with status 0: `wait exec:'pg_isready -h db'`."""

from __future__ import annotations

from typing import Final

from socketkit.apps.probes.probe import Look, Probe
from socketkit.config.address import Address
from socketkit.config.schemes import split_command
from socketkit.errors import ConnectError, DeadlineError, EndOfStream
from socketkit.sockets.calls import reason_of
from socketkit.streams.process import ChildStream, start_child

__all__ = ["CommandProbe"]

COMMAND_TIMEOUT: Final = 10.0
"""Seconds of one run: `pg_isready` itself waits three for its server."""

KEPT_OUTPUT_SIZE: Final = 2048
"""Bytes of the output's end that are kept for the reason."""


class CommandProbe(Probe):
    """Run a command without a shell. It has no input. Its output is kept, and shown only as a reason of failure."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._words = split_command(address.path)

    def __str__(self) -> str:
        return str(self.address)

    @property
    def default_timeout(self) -> float | None:
        return COMMAND_TIMEOUT

    async def look(self, look: Look) -> str | None:
        deadline = look.engine.deadline(look.options.connect_timeout)
        try:
            child = start_child(
                look.engine, self._words, address=str(self.address), own_session=True, merges_errors=True
            )
        except OSError as error:
            raise ConnectError(
                f"cannot run {self.address.path!r}: {reason_of(error)}", address=str(self.address), errno=error.errno
            ) from None
        output = bytearray()
        try:
            await self._run(child, output, deadline)
        except DeadlineError:
            return f"did not end within {look.timeout_text}{_excerpt(output)}"
        finally:
            child.abort()
        status = child.exit_status
        if status == 0:
            return None
        return f"status {status}{_excerpt(output)}"

    async def _run(self, child: ChildStream, output: bytearray, deadline: float | None) -> None:
        """Read the output to its end, and wait for the exit; raises DeadlineError."""
        await child.send_eof(deadline=deadline)
        try:
            while True:
                output += await child.receive(deadline=deadline)
                del output[:-KEPT_OUTPUT_SIZE]
        except EndOfStream:
            pass
        await child.wait_exit(deadline=deadline)


def _excerpt(output: bytearray) -> str:
    """The last line that says anything; the command's reason stands there."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""
