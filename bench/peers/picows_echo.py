"""A WebSocket echo on picows, as its documentation writes one, on uvloop."""

import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


async def main() -> None:
    def accept(request: WSUpgradeRequest) -> WSListener:
        return Echo()

    server = await ws_create_server(accept, "127.0.0.1", 0, backlog=65535)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


assert sys.argv[1:] == ["websocket"]
uvloop.run(main())
