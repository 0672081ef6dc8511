"""A WebSocket service by `websockets`, on a free port of 127.0.0.1, which it says.

Gives back each message as it came, text as text. The path says what else: `/close/CODE` closes at
once with that code, `/headers` tells the request's head, `/kill` ends without a word of closing,
`/ping` pings and says when it was answered.
"""

import asyncio
import json

import websockets


async def serve(socket):
    kind, _, rest = socket.path.split("?")[0].strip("/").partition("/")
    if kind == "close":
        await socket.close(int(rest), "as you like")
    elif kind == "headers":
        await socket.send(json.dumps([socket.path, list(socket.request_headers.raw_items())]))
    elif kind == "kill":
        await socket.recv()
        socket.transport.abort()
    elif kind == "ping":
        await (await socket.ping(b"are you there"))
        await socket.send("you are")
    elif kind == "fragments":
        await socket.send(str(place) for place in range(100))
    else:
        async for message in socket:
            await socket.send(message)


async def main():
    options = {"max_size": 1 << 22, "ping_interval": None, "subprotocols": ["one", "two"]}
    async with websockets.serve(serve, "127.0.0.1", 0, **options) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
