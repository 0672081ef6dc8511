"""How a connection begins, and what a frame is at all: RFC 9113 sections 3 to 4."""

import ssl

from judge import (
    COMPRESSION_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    answered,
    case,
    closed,
    connection_error,
    either_error,
    equal,
    serves,
)
from peer import (
    CONT,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE,
    GOAWAY,
    HEADERS,
    NAME,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    Violation,
    block,
    data,
    headers,
    raw,
    request,
    setting,
    window,
)


@case("3.2", "the protocol is agreed upon by ALPN", silent=True)
def _(peer):
    equal(peer.tls.selected_alpn_protocol(), "h2", "protocol")


@case("3.4", "the first frame of the server is SETTINGS without ACK")
def _(peer):
    serves(peer)
    equal((peer.first_frame.type, "ACK" in peer.first_frame.flags), (SETTINGS, False), "frame")


@case("3.4", "a preface that comes byte by byte is accepted", silent=True)
def _(peer):
    for byte in PREFACE + setting():
        peer.send(bytes([byte]))
    serves(peer)


@case("3.4", "a request may follow the preface without waiting for anything", silent=True)
def _(peer):
    peer.send(PREFACE, setting(), headers(1, request()))
    answered(peer, 1)


for wrong, what in [
    (b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", "another version"),
    (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "another end"),
    (b"INVALID CONNECTION PREFACE\r\n\r\n", "no preface at all"),
    (f"GET /refused HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode(), "a request of HTTP/1.1"),
]:

    @case("3.4", f"{what} instead of the preface ends the connection", silent=True)
    def _(peer, wrong=wrong):
        peer.send(wrong)
        closed(peer)


for wrong, what in [
    (raw(PING, 0, 0, bytes(8)), "PING"),
    (headers(1, request("/refused")), "HEADERS"),
    (window(0, 1), "WINDOW_UPDATE"),
    (raw(SETTINGS, 0x1, 0, b""), "SETTINGS with ACK"),
]:

    @case("3.4", f"{what} as the first frame is a connection error", silent=True)
    def _(peer, wrong=wrong):
        peer.send(PREFACE, wrong, raw(PING, 0, 0, b"alive???"))
        for frame in peer:
            if frame.type == PING and frame.opaque_data == b"alive???":
                raise Violation("the connection goes on")
            if frame.type == GOAWAY:
                equal(frame.error_code, PROTOCOL_ERROR, "code")


@case("9.2", "TLS 1.2 carries HTTP/2 as well", version=ssl.TLSVersion.TLSv1_2)
def _(peer):
    serves(peer)


for stream in (0, 1):

    @case("4.1", f"a frame of an unknown type on stream {stream} is ignored")
    def _(peer, stream=stream):
        peer.send(raw(0x16, 0xFF, stream, b"whatever"))
        serves(peer)


@case("4.1", "a frame of an unknown type between those of a request is ignored")
def _(peer):
    stream = peer.stream()
    peer.send(headers(stream, request("/echo", "POST"), end=False))
    peer.send(raw(0x42, 0, stream, bytes(100)), data(stream, b"hello", end=True))
    equal(answered(peer, stream), b"hello", "content")


@case("4.1", "undefined flags of PING are ignored")
def _(peer):
    peer.send(raw(PING, 0xFE, 0, b"undefind"))
    serves(peer)


@case("4.1", "undefined flags of HEADERS and DATA are ignored")
def _(peer):
    stream = peer.stream()
    block_ = block(request("/echo", "POST"))
    peer.send(raw(HEADERS, END_HEADERS | 0xD2, stream, block_))
    peer.send(raw(DATA, END_STREAM | 0xF6, stream, b"hello"))
    equal(answered(peer, stream), b"hello", "content")


@case("4.1", "the reserved bit of a stream's number is ignored")
def _(peer):
    peer.send(raw(PING, 0, 1 << 31, b"reserved"))
    stream = peer.stream()
    block_ = block(request())
    peer.send(raw(HEADERS, END_HEADERS | END_STREAM, stream | 1 << 31, block_))
    answered(peer, stream)


@case("4.2", "DATA of 16,384 bytes is accepted")
def _(peer):
    stream = peer.stream()
    peer.send(headers(stream, request("/echo", "POST"), end=False))
    peer.send(data(stream, bytes(16384), end=True))
    equal(len(answered(peer, stream)), 16384, "bytes of content")


@case("4.2", "HEADERS of 16,384 bytes is accepted")
def _(peer):
    stream = peer.stream()
    fields = request()
    fields.append(
        ("x-long", "a" * (16384 - len(block(fields + [("x-long", "a" * 10000)])) + 10000))
    )
    equal(len(block(fields)), 16384, "bytes of the block")
    peer.send(headers(stream, fields))
    answered(peer, stream)


@case("4.2", "DATA above the size of frames is an error")
def _(peer):
    stream = peer.stream()
    peer.send(headers(stream, request("/refused", "POST"), end=False), data(stream, bytes(16385)))
    either_error(peer, stream, FRAME_SIZE_ERROR)


@case("4.2", "HEADERS above the size of frames is a connection error")
def _(peer):
    fields = request("/refused") + [("x-long", "a" * 16384)]
    peer.send(headers(1, fields))
    connection_error(peer, FRAME_SIZE_ERROR)


@case("4.2", "a frame of an unknown type above the size of frames is an error")
def _(peer):
    peer.send(raw(0x16, 0, 0, bytes(16385)))
    connection_error(peer, FRAME_SIZE_ERROR)


@case("4.2", "a length above the size of frames is an error before the bytes have come")
def _(peer):
    peer.send(raw(HEADERS, END_HEADERS, 1, b"", length=(1 << 24) - 1))
    connection_error(peer, FRAME_SIZE_ERROR)


@case("4.2", "frames of the server are no larger than 16,384 bytes")
def _(peer):
    peer.send(window(0, 1 << 20))
    stream = peer.ask("/bytes/60000")
    equal(len(answered(peer, stream)), 60000, "bytes of content")


@case("4.2", "a client that takes larger frames is served", settings=[(FRAME_SIZE, (1 << 24) - 1)])
def _(peer):
    stream = peer.ask("/bytes/60000")
    equal(len(answered(peer, stream)), 60000, "bytes of content")


@case("4.3", "a block that cannot be decoded is a connection error")
def _(peer):
    peer.send(raw(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x84\x87\x40\x03ab"))
    connection_error(peer, COMPRESSION_ERROR)


@case("4.3", "a block may come in fragments that end anywhere")
def _(peer):
    whole = block(request())
    for cut in range(1, len(whole) - 1):
        stream = peer.stream()
        peer.send(raw(HEADERS, END_STREAM, stream, whole[:cut]))
        peer.send(raw(CONT, 0, stream, whole[cut : cut + 1]))
        peer.send(raw(CONT, END_HEADERS, stream, whole[cut + 1 :]))
        answered(peer, stream)


@case("4.3", "a block may end in a fragment without a byte")
def _(peer):
    stream = peer.stream()
    peer.send(raw(HEADERS, END_STREAM, stream, b""), raw(CONT, 0, stream, block(request())))
    peer.send(raw(CONT, END_HEADERS, stream, b""))
    answered(peer, stream)


# What must not stand between the frames of a header block, on the same stream or on another.
BETWEEN = {
    "DATA": lambda stream: data(stream, b"x"),
    "HEADERS": lambda stream: headers(stream, request("/refused")),
    "PRIORITY": lambda stream: raw(PRIORITY, 0, stream, b"\0\0\0\0\x10"),
    "RST_STREAM": lambda stream: raw(RST_STREAM, 0, stream, b"\0\0\0\x08"),
    "SETTINGS": lambda _: setting(),
    "PING": lambda _: raw(PING, 0, 0, bytes(8)),
    "WINDOW_UPDATE": lambda _: window(0, 1),
    "an unknown frame": lambda stream: raw(0x16, 0, stream, b""),
}
for what, frame in BETWEEN.items():
    for stream in (1, 3):

        @case("4.3", f"{what} of stream {stream} within the block of stream 1 is an error")
        def _(peer, frame=frame, stream=stream):
            peer.send(raw(HEADERS, END_STREAM, 1, block(request("/refused"))), frame(stream))
            peer.send(raw(CONT, END_HEADERS, 1, b""))
            connection_error(peer, PROTOCOL_ERROR)


@case("4.3", "a fragment of another stream within a block is a connection error")
def _(peer):
    peer.send(raw(HEADERS, END_STREAM, 1, block(request("/refused"))))
    peer.send(raw(CONT, END_HEADERS, 3, b""))
    connection_error(peer, PROTOCOL_ERROR)


@case("4.3", "a connection that ends within a block leaves nothing behind")
def _(peer):
    peer.send(raw(HEADERS, END_STREAM, 1, block(request("/refused"))))
    peer.tls.close()
