"""A backend and a source of very much content, which is never anywhere as a whole.

    bulk.py serve          serves HTTP/1.1 on a free port of 127.0.0.1, which it says:
                           GET /down/N sends N bytes, PUT /up takes any, either's digest is then
                           told by GET /digest
    bulk.py source N       writes N bytes to stdout, and their digest to stderr

Owns the content: a block of random bytes, again and again, with the place of each within it.
"""

import hashlib
import os
import socket
import sys
import threading

BLOCK = 1 << 20
DIGEST = [""]


def content(count):
    """So many bytes, in blocks of which no two are alike."""
    block = bytearray(os.urandom(BLOCK))
    for place in range(0, count, BLOCK):
        block[:8] = place.to_bytes(8, "big")
        yield memoryview(block)[: min(BLOCK, count - place)]


def source(count):
    digest = hashlib.sha256()
    for block in content(count):
        digest.update(block)
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
    print(digest.hexdigest(), file=sys.stderr)


def serve():
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection):
    with connection, connection.makefile("rb", BLOCK) as reader:
        while line := reader.readline():
            method, target, _ = line.decode().split()
            fields = {}
            while (field := reader.readline().decode().strip()) != "":
                name, _, value = field.partition(":")
                fields[name.lower()] = value.strip()
            if target.startswith("/down/"):
                down(connection, int(target[6:]))
                continue
            if method == "PUT":
                DIGEST[0] = up(reader, fields)
            say(connection, DIGEST[0].encode())


def say(connection, body):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def down(connection, count):
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n".encode())
    digest = hashlib.sha256()
    for block in content(count):
        digest.update(block)
        connection.sendall(block)
    DIGEST[0] = digest.hexdigest()


def up(reader, fields):
    digest, left = hashlib.sha256(), int(fields.get("content-length", 0))

    def take(count):
        while count > 0:
            block = reader.read1(min(count, BLOCK))
            if not block:
                raise EOFError("the request was broken off")
            digest.update(block)
            count -= len(block)

    take(left)
    while fields.get("transfer-encoding") == "chunked":
        size = int(reader.readline().split(b";")[0], 16)
        take(size)
        while reader.readline() != b"\r\n":
            pass
        if size == 0:
            break
    return digest.hexdigest()


if sys.argv[1] == "serve":
    serve()
else:
    source(int(sys.argv[2]))
