"""Cells of a notebook: a loop runs already, and top-level `await` is all there is. The server lives between cells.

Here a small stand-in runs each cell in one running loop, as IPython does.
"""

import ast
import asyncio
import inspect

CELLS = [
    """
from socketkit import connect, serve

async def echo(connection):
    async for line in connection:
        await connection.send(line)

recipe = serve(echo, "tcp://localhost:0", framing="lines")
server = await recipe.__aenter__()
""",
    """
async with connect(server.addresses[0], framing="lines") as connection:
    await connection.send("hello from a cell")
    print(await connection.receive())
""",
    "await server.close()",
]


async def run_cells() -> None:
    names: dict[str, object] = {}
    for cell in CELLS:
        code = compile(cell, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.iscoroutine(result):
            await result


asyncio.run(run_cells())
