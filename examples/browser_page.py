"""A web page and its WebSocket from one server: each tab sees what every tab has sent.

Run it, and open the address that it prints in two windows.
"""

import sys

from socketkit import Connection, Request, Response, broadcast, serve

PAGE = """<!doctype html><meta charset="utf-8"><title>together</title>
<form><input autofocus placeholder="say something"></form><ol></ol>
<script>
  const socket = new WebSocket(location.origin.replace('http', 'ws') + '/lines');
  socket.onmessage = event => {
    document.querySelector('ol').append(Object.assign(document.createElement('li'), { textContent: event.data }));
  };
  socket.onclose = event => { document.title = 'closed: ' + event.code };
  document.forms[0].onsubmit = event => {
    event.preventDefault();
    const field = document.querySelector('input');
    socket.send(field.value);
    field.value = '';
  };
</script>
"""

tabs: set[Connection[str | bytes]] = set()


async def talk(tab: Connection[str | bytes]) -> None:
    """Pass on what one tab says, until it is closed."""
    tabs.add(tab)
    try:
        async for line in tab:
            broadcast(tabs, line)
    finally:
        tabs.discard(tab)


def page(request: Request) -> Response:
    """Answer what is no WebSocket."""
    if request.path == "/":
        return Response(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
    return Response(404, "not here\n")


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8080/lines"
    with serve(talk, address, http=page, engine="asyncio") as server:
        print(f"http://{server.addresses[0].host}:{server.addresses[0].port}/", flush=True)
        sys.stdin.read()  # until its end, or Ctrl-C
