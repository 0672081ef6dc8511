"""A WebSocket client by `websockets`: ask.py HOST PORT CA WHAT

Owns what a client may expect of a tunnel: messages of every size class and in fragments, pings,
the codes of both sides' farewells, an end without one, silence.
"""

import asyncio
import json
import os
import ssl
import sys
import time

import websockets

HOST, PORT, CA, WHAT = sys.argv[1:5]
NAME = "app.example"
CONTEXT = ssl.create_default_context(cafile=CA)
CONTEXT.set_alpn_protocols(["http/1.1"])
# Each is the first or the last of a form of length (RFC 6455 section 5.2).
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20]


def connect(path="/", **options):
    uri = f"wss://{NAME}:{PORT}{path}"
    options = {"max_size": 1 << 22, "ping_interval": None, **options}
    return websockets.connect(uri, host=HOST, ssl=CONTEXT, server_hostname=NAME, **options)


async def echo():
    for compression in (None, "deflate"):
        async with connect(compression=compression) as socket:
            for size in SIZES:
                for message in (os.urandom(size), "x" * size):
                    await socket.send(message)
                    assert await socket.recv() == message, size


async def fragments():
    async with connect(compression=None) as socket:
        pieces = [os.urandom(size) for size in (0, 1, 126, 70000, 5)]
        await socket.send(pieces)
        assert await socket.recv() == b"".join(pieces)
    async with connect("/fragments") as socket:
        assert await socket.recv() == "".join(str(place) for place in range(100))


async def pings():
    async with connect() as socket:
        for _ in range(10):
            await asyncio.wait_for(await socket.ping(), 10)
    async with connect("/ping") as socket:
        assert await socket.recv() == "you are"


async def closes():
    for code in (1000, 1001, 1008, 1011, 3000, 4999):
        async with connect(f"/close/{code}") as socket:
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (code, "as you like"), code
        async with connect() as socket:
            await socket.close(code, "farewell")
            assert socket.close_code == code, socket.close_code
    async with connect("/kill") as socket:
        await socket.send("now")
        await socket.wait_closed()
        # An end without a farewell is one for the client as well.
        assert socket.close_code == 1006, socket.close_code


async def heads():
    options = {"subprotocols": ["two"], "origin": "https://app.example"}
    async with connect("/headers?a=b%20c", extra_headers={"Cookie": "a=1"}, **options) as socket:
        path, fields = json.loads(await socket.recv())
        fields = {name.lower(): value for name, value in fields}
        assert path == "/headers?a=b%20c", path
        assert socket.subprotocol == "two", socket.subprotocol
        assert fields["cookie"] == "a=1" and fields["origin"] == "https://app.example", fields
        assert fields["x-forwarded-proto"] == "https", fields
        assert fields["sec-websocket-protocol"] == "two", fields


async def many():
    async def one(number):
        async with connect() as socket:
            for turn in range(20):
                message = f"{number}: {turn}"
                await socket.send(message)
                assert await socket.recv() == message

    await asyncio.gather(*(one(number) for number in range(100)))


async def both():
    """Both sides send at once, more than any window or buffer between them holds."""
    async with connect(compression=None) as socket:
        block = os.urandom(1 << 16)

        async def send():
            for _ in range(256):
                await socket.send(block)

        async def receive():
            for _ in range(256):
                assert await socket.recv() == block

        await asyncio.gather(send(), receive())


async def silence():
    """Says nothing for so many seconds, and then is heard; then for too many."""
    short, long = float(sys.argv[5]), float(sys.argv[6])
    async with connect() as socket:
        await asyncio.sleep(short)
        await socket.send("still here")
        assert await socket.recv() == "still here"
        begin = time.monotonic()
        await asyncio.wait_for(socket.wait_closed(), long * 3)
        took = time.monotonic() - begin
        assert long * 0.9 < took, took
        assert socket.close_code == 1006, socket.close_code


asyncio.run(globals()[WHAT]())
