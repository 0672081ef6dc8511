"""Each type of frame, with what is wrong in its length, its stream, its padding and its values: RFC
9113 sections 6.1 to 6.8, 6.10 and 7."""

from hyperframe.frame import GoAwayFrame, PingFrame

from judge import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    answered,
    case,
    connection_error,
    content,
    either_error,
    equal,
    flood,
    rest,
    serves,
)
from peer import (
    ACK,
    CONT,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE,
    GOAWAY,
    HEADERS,
    LIST_SIZE,
    PADDED,
    PING,
    PRIORITISED,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAMS_MAX,
    TABLE_SIZE,
    WINDOW,
    Violation,
    block,
    data,
    headers,
    raw,
    request,
    reset,
    setting,
    window,
)

WHOLE = END_HEADERS | END_STREAM


def post(peer, path="/refused"):
    """A request whose content is still to come."""
    return peer.ask(path, "POST", end=False)


# ---------------------------------------------------------------------------------- DATA


@case("6.1", "DATA on stream 0 is a connection error")
def _(peer):
    peer.send(data(0, b"x"))
    connection_error(peer, PROTOCOL_ERROR)


for pad in (0, 1, 255):

    @case("6.1", f"DATA with {pad} bytes of padding is content without them")
    def _(peer, pad=pad):
        stream = post(peer, "/echo")
        payload = bytes([pad]) + b"hello" + bytes(pad)
        peer.send(raw(DATA, PADDED | END_STREAM, stream, payload))
        equal(answered(peer, stream), b"hello", "content")


@case("6.1", "DATA of nothing but padding is empty")
def _(peer):
    stream = post(peer, "/echo")
    peer.send(raw(DATA, PADDED, stream, bytes([9]) + bytes(9)), data(stream, b"hi", end=True))
    equal(answered(peer, stream), b"hi", "content")


for pad, room in [(5, 4), (6, 5), (255, 10), (1, 0)]:

    @case("6.1", f"padding of {pad} bytes in {room} is a connection error")
    def _(peer, pad=pad, room=room):
        stream = post(peer)
        peer.send(raw(DATA, PADDED | END_STREAM, stream, bytes([pad]) + bytes(room)))
        connection_error(peer, PROTOCOL_ERROR)


@case("6.1", "DATA that has padding without a length is a connection error")
def _(peer):
    stream = post(peer)
    peer.send(raw(DATA, PADDED | END_STREAM, stream, b""))
    connection_error(peer, PROTOCOL_ERROR, FRAME_SIZE_ERROR)


@case("6.1", "an empty DATA may end a request")
def _(peer):
    stream = post(peer, "/echo")
    peer.send(data(stream, b"hello"), data(stream, b""), data(stream, b"", end=True))
    equal(answered(peer, stream), b"hello", "content")


@case("6.1", "padding counts for the windows and is given back")
def _(peer):
    serves(peer)
    peer.round_trip()
    stream, room = post(peer, "/echo"), peer.settings.get(WINDOW, 65535)
    padded = bytes([255]) + bytes(800) + bytes(255)
    for _ in range(2 * peer.windows[0] // len(padded)):
        while min(peer.windows[0], room + peer.windows.get(stream, 0)) < len(padded):
            if peer.next() is None:
                raise Violation("closed")
        peer.send(raw(DATA, PADDED, stream, padded))
        peer.windows[0] -= len(padded)
        room -= len(padded)
    peer.send(window(0, 1 << 24), window(stream, 1 << 24), data(stream, b"", end=True))
    answered(peer, stream)


# ------------------------------------------------------------------------------- HEADERS


@case("6.2", "HEADERS on stream 0 is a connection error")
def _(peer):
    peer.send(headers(0, request("/refused")))
    connection_error(peer, PROTOCOL_ERROR)


@case("6.2", "HEADERS with padding and a priority is a request")
def _(peer):
    stream = peer.stream()
    payload = bytes([7]) + bytes(4) + b"\x10" + block(request()) + bytes(7)
    peer.send(raw(HEADERS, WHOLE | PADDED | PRIORITISED, stream, payload))
    answered(peer, stream)


@case("6.2", "padding that is longer than the frame is a connection error")
def _(peer):
    fields = block(request("/refused"))
    peer.send(raw(HEADERS, WHOLE | PADDED, 1, bytes([len(fields) + 1]) + fields))
    connection_error(peer, PROTOCOL_ERROR)


@case("6.2", "HEADERS that has padding without a length is a connection error")
def _(peer):
    peer.send(raw(HEADERS, WHOLE | PADDED, 1, b""))
    connection_error(peer, PROTOCOL_ERROR, FRAME_SIZE_ERROR)


@case("6.2", "HEADERS that is too short for its priority is a connection error")
def _(peer):
    peer.send(raw(HEADERS, WHOLE | PRIORITISED, 1, bytes(4)))
    connection_error(peer, FRAME_SIZE_ERROR, PROTOCOL_ERROR)


# ------------------------------------------------------------------ PRIORITY, RST_STREAM


@case("6.3", "PRIORITY on stream 0 is a connection error")
def _(peer):
    peer.send(raw(PRIORITY, 0, 0, bytes(5)))
    connection_error(peer, PROTOCOL_ERROR)


for length in (0, 4, 6):

    @case("6.3", f"PRIORITY of {length} bytes is an error of its size")
    def _(peer, length=length):
        stream = post(peer)
        peer.send(raw(PRIORITY, 0, stream, bytes(length)))
        either_error(peer, stream, FRAME_SIZE_ERROR)


@case("6.4", "RST_STREAM on stream 0 is a connection error")
def _(peer):
    peer.send(reset(0))
    connection_error(peer, PROTOCOL_ERROR)


for length in (0, 3, 5):

    @case("6.4", f"RST_STREAM of {length} bytes is a connection error")
    def _(peer, length=length):
        peer.send(raw(RST_STREAM, 0, post(peer), bytes(length)))
        connection_error(peer, FRAME_SIZE_ERROR)


# ------------------------------------------------------------------------------ SETTINGS


@case("6.5", "SETTINGS is acknowledged, once each")
def _(peer):
    peer.send(setting(), setting((WINDOW, 1000)), setting())
    serves(peer)
    peer.round_trip()
    equal(peer.acknowledged, 4, "acknowledgements")


@case("6.5", "an acknowledgement with a payload is a connection error")
def _(peer):
    peer.send(raw(SETTINGS, ACK, 0, setting((WINDOW, 1))[9:]))
    connection_error(peer, FRAME_SIZE_ERROR)


@case("6.5", "SETTINGS on a stream is a connection error")
def _(peer):
    peer.send(raw(SETTINGS, 0, 1, setting((WINDOW, 1000))[9:]))
    connection_error(peer, PROTOCOL_ERROR)


for length in (1, 5, 7):

    @case("6.5", f"SETTINGS of {length} bytes is a connection error")
    def _(peer, length=length):
        peer.send(raw(SETTINGS, 0, 0, bytes(length)))
        connection_error(peer, FRAME_SIZE_ERROR)


for key, value, code, what in [
    (ENABLE_PUSH, 2, PROTOCOL_ERROR, "ENABLE_PUSH of 2"),
    (ENABLE_PUSH, 0xFFFFFFFF, PROTOCOL_ERROR, "ENABLE_PUSH of 4,294,967,295"),
    (WINDOW, 1 << 31, FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE of 2,147,483,648"),
    (WINDOW, 0xFFFFFFFF, FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE of 4,294,967,295"),
    (FRAME_SIZE, 0, PROTOCOL_ERROR, "MAX_FRAME_SIZE of 0"),
    (FRAME_SIZE, 16383, PROTOCOL_ERROR, "MAX_FRAME_SIZE of 16,383"),
    (FRAME_SIZE, 1 << 24, PROTOCOL_ERROR, "MAX_FRAME_SIZE of 16,777,216"),
]:

    @case("6.5.2", f"{what} is a connection error")
    def _(peer, key=key, value=value, code=code):
        peer.send(setting((key, value)))
        connection_error(peer, code)


for pairs, what in [
    ([(ENABLE_PUSH, 0)], "ENABLE_PUSH of 0"),
    ([(ENABLE_PUSH, 1)], "ENABLE_PUSH of 1, to which nothing is pushed,"),
    ([(WINDOW, (1 << 31) - 1)], "INITIAL_WINDOW_SIZE of 2,147,483,647"),
    ([(FRAME_SIZE, 16384)], "MAX_FRAME_SIZE of 16,384"),
    ([(FRAME_SIZE, (1 << 24) - 1)], "MAX_FRAME_SIZE of 16,777,215"),
    ([(STREAMS_MAX, 0)], "MAX_CONCURRENT_STREAMS of 0"),
    ([(LIST_SIZE, 0xFFFFFFFF)], "MAX_HEADER_LIST_SIZE of 4,294,967,295"),
    ([(0x00F0, 1), (0xFFFF, 0xFFFFFFFF)], "settings that are unknown"),
    ([(WINDOW, 1), (WINDOW, 65535)], "a setting that comes twice, of which the last holds,"),
    ([(TABLE_SIZE, 4096)] * 100, "a hundred settings in one frame"),
]:

    @case("6.5.2", f"{what} is accepted")
    def _(peer, pairs=pairs):
        peer.send(setting(*pairs))
        equal(len(answered(peer, peer.ask("/bytes/1000"))), 1000, "bytes of content")


@case("6.5.2", "the server does not say that it takes pushed streams or another CONNECT")
def _(peer):
    serves(peer)
    equal(peer.settings.get(ENABLE_PUSH, 0), 0, "ENABLE_PUSH")
    equal(peer.settings.get(0x8, 0), 0, "ENABLE_CONNECT_PROTOCOL")


@case("6.5.2", "the server's own settings are within their bounds")
def _(peer):
    serves(peer)
    windows = peer.settings.get(WINDOW, 65535)
    if windows > (1 << 31) - 1 or not 16384 <= peer.settings.get(FRAME_SIZE, 16384) < 1 << 24:
        raise Violation(f"{peer.settings}")
    if not 1 <= peer.settings.get(STREAMS_MAX, 0) <= 1000:
        raise Violation(f"no useful limit of streams: {peer.settings}")


@case("6.5.3", "a setting holds from its acknowledgement on")
def _(peer):
    peer.send(setting((WINDOW, 10)))
    peer.round_trip()
    equal(peer.acknowledged, 2, "acknowledgements")
    stream = peer.ask("/bytes/1000")
    content(peer, stream, 10)
    peer.send(setting((WINDOW, 1000)))
    equal(len(rest(peer, stream)), 990, "bytes of the rest")


# --------------------------------------------------------------- PUSH_PROMISE, PING, GOAWAY


@case("6.6", "PUSH_PROMISE by a client is a connection error")
def _(peer):
    stream = post(peer)
    promise = (2).to_bytes(4, "big") + block(request("/refused"))
    peer.send(raw(PUSH_PROMISE, END_HEADERS, stream, promise))
    connection_error(peer, PROTOCOL_ERROR)


@case("6.7", "PING is answered with the same payload, in order")
def _(peer):
    for payload in (b"12345678", bytes(8), b"\xff" * 8):
        peer.send(raw(PING, 0, 0, payload))
        answer = next(frame for frame in peer if isinstance(frame, PingFrame))
        equal((answer.opaque_data, "ACK" in answer.flags), (payload, True), "answer")


@case("6.7", "a PING that nobody sent is answered by nothing")
def _(peer):
    peer.send(raw(PING, ACK, 0, b"whatever"))
    pings = [frame for frame in peer.round_trip() if isinstance(frame, PingFrame)]
    equal(pings, [], "answers")
    serves(peer)


@case("6.7", "PING is answered while an answer is awaited")
def _(peer):
    peer.ask("/hold")
    peer.round_trip()


@case("6.7", "PING on a stream is a connection error")
def _(peer):
    peer.send(raw(PING, 0, 1, bytes(8)))
    connection_error(peer, PROTOCOL_ERROR)


for length in (0, 7, 9):

    @case("6.7", f"PING of {length} bytes is a connection error")
    def _(peer, length=length):
        peer.send(raw(PING, 0, 0, bytes(length)))
        connection_error(peer, FRAME_SIZE_ERROR)


@case("6.8", "GOAWAY on a stream is a connection error")
def _(peer):
    peer.send(raw(GOAWAY, 0, 1, bytes(8)))
    connection_error(peer, PROTOCOL_ERROR)


@case("6.8", "GOAWAY that is too short is a connection error")
def _(peer):
    peer.send(raw(GOAWAY, 0, 0, bytes(7)))
    connection_error(peer, FRAME_SIZE_ERROR)


@case("6.8", "a client that says GOAWAY is still answered, and then the connection ends")
def _(peer):
    stream = post(peer, "/echo")
    peer.send(raw(GOAWAY, 0, 0, bytes(8) + b"farewell"), data(stream, b"hello", end=True))
    equal(answered(peer, stream), b"hello", "content")
    for frame in peer:
        if isinstance(frame, GoAwayFrame):
            equal(frame.error_code, NO_ERROR, "code")


# -------------------------------------------------------------------- CONTINUATION, codes


@case("6.10", "CONTINUATION on stream 0 is a connection error")
def _(peer):
    peer.send(raw(CONT, END_HEADERS, 0, block(request("/refused"))))
    connection_error(peer, PROTOCOL_ERROR)


@case("6.10", "CONTINUATION behind a block that is complete is a connection error")
def _(peer):
    stream = peer.ask("/hold", "POST", end=False)
    peer.send(raw(CONT, END_HEADERS, stream, block([("x-more", "1")])))
    connection_error(peer, PROTOCOL_ERROR, STREAM_CLOSED)


@case("6.10", "CONTINUATION behind DATA is a connection error")
def _(peer):
    stream = peer.ask("/hold", "POST", end=False)
    peer.send(data(stream, b"x"), raw(CONT, END_HEADERS, stream, block([("x-more", "1")])))
    connection_error(peer, PROTOCOL_ERROR)


@case("6.10", "a block that does not end is a connection error, not memory")
def _(peer):
    peer.send(raw(HEADERS, END_STREAM, 1, block(request("/refused"))))
    flood(peer, [raw(CONT, 0, 1, block([(f"x-{n}", "a" * 1000)])) for n in range(5000)])
    connection_error(peer, PROTOCOL_ERROR, ENHANCE_YOUR_CALM, FRAME_SIZE_ERROR)


@case("6.10", "a block of empty fragments that does not end is a connection error")
def _(peer):
    peer.send(raw(HEADERS, END_STREAM, 1, block(request("/refused"))))
    flood(peer, [raw(CONT, 0, 1, b"")] * 100000)
    connection_error(peer, PROTOCOL_ERROR, ENHANCE_YOUR_CALM, FRAME_SIZE_ERROR)


@case("7", "a reset with an unknown code is a reset")
def _(peer):
    peer.send(reset(peer.ask("/hold"), 0xFFFFFFFF))
    serves(peer)


@case("7", "a farewell with an unknown code is a farewell")
def _(peer):
    stream = post(peer, "/echo")
    goaway = raw(GOAWAY, 0, 0, bytes(4) + b"\xff\xff\xff\xff")
    peer.send(goaway, data(stream, b"hello", end=True))
    try:
        equal(answered(peer, stream), b"hello", "content")
    except Violation as violation:
        # With an error announced there may be no answer; but there is an end.
        if "closed" not in str(violation):
            raise
