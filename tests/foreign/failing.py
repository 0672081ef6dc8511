"""A client whose handshakes fail, each in its own way.

    failing.py WAY PORT NAME

calls 127.0.0.1:PORT, asks for NAME with a ClientHello of OpenSSL, and then fails by WAY: `silent`
closes without a word, `vanish` resets without one; `half` closes in the middle of the hello, `reset`
resets behind the answer to it; `stall` says nothing, `stall-behind` nothing behind the hello;
`other` says that it speaks SSH, `large` begins a hello of 40 kB, `broken` says what nobody may say
there, and `alert-N` says the alert N. Then it waits for the end of the connection.
"""

import socket
import ssl
import struct
import sys

from client_hello import client_hello

SECONDS = 25


def prepare(context):
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])


def record(kind, content):
    return struct.pack("!BHH", kind, 0x0303, len(content)) + content


def wait(tcp):
    try:
        while tcp.recv(65536):
            pass
    except ConnectionResetError:
        pass


def main():
    way, port, name = sys.argv[1:]
    said = client_hello(name, prepare)
    tcp = socket.create_connection(("127.0.0.1", int(port)), timeout=SECONDS)
    if way in ("vanish", "reset"):
        if way == "reset":
            tcp.sendall(said)
            tcp.recv(1)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        tcp.close()
        return
    if way == "half":
        tcp.sendall(said[: len(said) // 2])
    elif way == "other":
        tcp.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    elif way == "large":
        tcp.sendall(record(22, b"\x01\x00\x9c\x40\x03\x03" + bytes(16_300)))
        tcp.sendall(record(22, bytes(1_000)))
    elif way == "broken":
        tcp.sendall(said)
        tcp.recv(1)
        tcp.sendall(record(23, b"too early"))
    elif way == "stall-behind":
        tcp.sendall(said)
    elif way.startswith("alert-"):
        tcp.sendall(said)
        tcp.recv(1)
        tcp.sendall(record(21, bytes([2, int(way.removeprefix("alert-"))])))
    if way in ("silent", "half"):
        tcp.shutdown(socket.SHUT_WR)
    wait(tcp)


main()
