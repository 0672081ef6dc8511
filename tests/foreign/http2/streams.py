"""What may happen to a stream in each of its states: RFC 9113 section 5."""

from hyperframe.frame import GoAwayFrame, RstStreamFrame

from judge import (
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    answered,
    case,
    connection_error,
    either_error,
    equal,
    malformed,
    serves,
    stream_error,
)
from peer import (
    CONT,
    END_HEADERS,
    HEADERS,
    PRIORITY,
    STREAMS_MAX,
    Violation,
    block,
    data,
    headers,
    raw,
    request,
    reset,
    window,
)

PRIORITISE = bytes(4) + b"\x10"

# ------------------------------------------------------------------------------------- idle

for what, frame in {
    "DATA": data(1, b"x"),
    "RST_STREAM": reset(1),
    "WINDOW_UPDATE": window(1, 1),
    "CONTINUATION": raw(CONT, END_HEADERS, 1, block(request("/refused"))),
}.items():

    @case("5.1", f"{what} on an idle stream is a connection error")
    def _(peer, frame=frame):
        peer.send(frame)
        connection_error(peer, PROTOCOL_ERROR)


@case("5.1", "PRIORITY on an idle stream is accepted")
def _(peer):
    peer.send(raw(PRIORITY, 0, 1, PRIORITISE), raw(PRIORITY, 0, 9, PRIORITISE))
    serves(peer)


# ---------------------------------------------------- half-closed: the request is complete


def complete(peer):
    """A stream whose request is complete and whose answer never comes."""
    stream = peer.ask("/hold")
    peer.round_trip()
    return stream


@case("5.1", "DATA on a stream whose request is complete is an error of the stream")
def _(peer):
    stream = complete(peer)
    peer.send(data(stream, b"x", end=True))
    either_error(peer, stream, STREAM_CLOSED)


@case("5.1", "HEADERS on a stream whose request is complete is an error of the stream")
def _(peer):
    stream = complete(peer)
    peer.send(headers(stream, [("x-late", "1")]))
    either_error(peer, stream, STREAM_CLOSED)


@case("5.1", "CONTINUATION on a stream whose request is complete is a connection error")
def _(peer):
    stream = complete(peer)
    peer.send(raw(CONT, END_HEADERS, stream, block([("x-late", "1")])))
    connection_error(peer, PROTOCOL_ERROR, STREAM_CLOSED)


@case("5.1", "WINDOW_UPDATE and PRIORITY on a stream whose request is complete are accepted")
def _(peer):
    stream = complete(peer)
    peer.send(window(stream, 1), raw(PRIORITY, 0, stream, PRIORITISE))
    serves(peer)


@case("5.1", "RST_STREAM on a stream whose request is complete ends it")
def _(peer):
    peer.send(reset(complete(peer)))
    serves(peer)


# ----------------------------------------------------------------- closed: all is complete


def finished(peer):
    """A stream that ended as it should."""
    stream = peer.ask()
    answered(peer, stream)
    return stream


@case("5.1", "DATA on a stream that has ended is an error")
def _(peer):
    stream = finished(peer)
    peer.send(data(stream, b"x"))
    either_error(peer, stream, STREAM_CLOSED)


@case("5.1", "HEADERS on a stream that has ended is a connection error")
def _(peer):
    peer.send(headers(finished(peer), request("/refused")))
    connection_error(peer, STREAM_CLOSED, PROTOCOL_ERROR)


@case("5.1", "CONTINUATION on a stream that has ended is a connection error")
def _(peer):
    peer.send(raw(CONT, END_HEADERS, finished(peer), block([("x-late", "1")])))
    connection_error(peer, PROTOCOL_ERROR, STREAM_CLOSED)


for what, frame in {
    "PRIORITY": lambda stream: raw(PRIORITY, 0, stream, PRIORITISE),
    "WINDOW_UPDATE": lambda stream: window(stream, 1),
    "RST_STREAM": reset,
}.items():

    @case("5.1", f"{what} on a stream that has just ended is accepted")
    def _(peer, frame=frame):
        peer.send(frame(finished(peer)))
        serves(peer)


# ------------------------------------------------------------------ closed by RST_STREAM


@case("5.1", "DATA on a stream that the client has reset is an error")
def _(peer):
    stream = peer.ask("/hold", "POST", end=False)
    peer.send(reset(stream), data(stream, b"x"))
    either_error(peer, stream, STREAM_CLOSED)


@case("5.1", "HEADERS on a stream that the client has reset is an error")
def _(peer):
    stream = peer.ask("/hold", "POST", end=False)
    peer.send(reset(stream), headers(stream, [("x-late", "1")]))
    either_error(peer, stream, STREAM_CLOSED, PROTOCOL_ERROR)


for what, frame in {
    "PRIORITY": lambda stream: raw(PRIORITY, 0, stream, PRIORITISE),
    "WINDOW_UPDATE": lambda stream: window(stream, 1),
    "RST_STREAM": reset,
}.items():

    @case("5.1", f"{what} on a stream that the client has reset does no harm")
    def _(peer, frame=frame):
        stream = peer.ask("/hold", "POST", end=False)
        peer.send(reset(stream), frame(stream))
        serves(peer)


def refused(peer):
    """A stream that the server has reset while the client goes on sending."""
    stream = peer.stream()
    peer.send(headers(stream, request("/refused", "POST") + [("connection", "close")], end=False))
    malformed(peer, stream)
    return stream


for what, frame in {
    "DATA": lambda stream: data(stream, b"late", end=True),
    "trailers": lambda stream: headers(stream, [("x-late", "1")]),
    "RST_STREAM": reset,
    "WINDOW_UPDATE": lambda stream: window(stream, 1),
}.items():

    @case("5.1", f"{what} that crossed with a reset by the server is no connection error")
    def _(peer, frame=frame):
        peer.send(frame(refused(peer)))
        serves(peer)


@case("5.1", "DATA that crossed with a reset by the server is given back to the connection")
def _(peer):
    serves(peer)
    peer.round_trip()
    # As much as the window of the connection holds, and once more.
    room = peer.windows[0]
    for _ in range(2 * room // 65536 + 1):
        if peer.windows[0] < 65536:
            raise Violation(f"{peer.windows[0]} of {room} bytes are left of the window")
        stream = refused(peer)
        for _ in range(4):
            peer.send(data(stream, bytes(16000)))
            peer.windows[0] -= 16000
        serves(peer)


# ----------------------------------------------------------------------------- numbers


for stream in (2, 4):

    @case("5.1.1", f"stream {stream}, which is not the client's, is a connection error")
    def _(peer, stream=stream):
        peer.send(headers(stream, request("/refused")))
        connection_error(peer, PROTOCOL_ERROR)


@case("5.1.1", "a lower number than one that was used is a connection error")
def _(peer):
    peer.send(headers(5, request()))
    answered(peer, 5)
    peer.send(headers(3, request("/refused")))
    connection_error(peer, PROTOCOL_ERROR, STREAM_CLOSED)


@case("5.1.1", "numbers may be left out")
def _(peer):
    for stream in (7, 9, 1001):
        peer.send(headers(stream, request()))
        answered(peer, stream)


@case("5.1.1", "the highest number there is can be used")
def _(peer):
    peer.send(headers((1 << 31) - 1, request()))
    answered(peer, (1 << 31) - 1)


@case("5.1.1", "RST_STREAM on a number that was left out does no harm or is an error")
def _(peer):
    peer.next_stream = 7
    finished(peer)
    # The stream is closed without ever having been open.
    peer.send(reset(3))
    try:
        serves(peer)
    except Violation as violation:
        if "PROTOCOL" not in str(violation) and "error_code=1" not in str(violation):
            raise


# ------------------------------------------------------------------------- concurrency


def fill(peer):
    """As many open streams as the server allows."""
    serves(peer)
    count = peer.settings.get(STREAMS_MAX)
    if count is None:
        raise Violation("the number of concurrent streams has no limit")
    return [peer.ask("/hold") for _ in range(count)]


@case("5.1.2", "a stream above the limit is refused, and no other")
def _(peer):
    held = fill(peer)
    stream = peer.ask("/refused")
    for frame in peer:
        if isinstance(frame, GoAwayFrame):
            raise Violation(f"{frame}")
        if isinstance(frame, RstStreamFrame):
            equal(frame.stream_id, stream, "the stream that is refused")
            if frame.error_code not in (REFUSED_STREAM, PROTOCOL_ERROR):
                raise Violation(f"{frame}")
            break
    peer.send(reset(held[0]))
    serves(peer)


@case("5.1.2", "a stream that was reset makes room at once")
def _(peer):
    for stream in fill(peer)[:20]:
        peer.send(reset(stream))
        serves(peer)


@case("5.1.2", "a refused stream leaves the compression in order")
def _(peer):
    held = fill(peer)
    name = b"\x40" + b"\x06x-kept" + b"\x03yes"
    stream = peer.stream()
    refused_ = raw(HEADERS, END_HEADERS | 1, stream, block(request("/refused")) + name)
    peer.send(refused_)
    for frame in peer:
        if isinstance(frame, RstStreamFrame):
            break
    peer.send(reset(held[0]))
    stream = peer.stream()
    peer.send(raw(HEADERS, END_HEADERS | 1, stream, block(request()) + b"\xbe"))
    answered(peer, stream)


# ---------------------------------------------------------------------------- priorities


@case("5.3.2", "priorities of streams, used and unused, are accepted")
def _(peer):
    for stream, rest in [(3, PRIORITISE), (5, b"\x80\0\0\x03\xff"), (1, b"\0\0\0\x05\0")]:
        peer.send(raw(PRIORITY, 0, stream, rest))
    serves(peer)


@case("5.3.2", "a request may carry a priority")
def _(peer):
    stream = peer.stream()
    fields = PRIORITISE + block(request())
    peer.send(raw(HEADERS, END_HEADERS | 1 | 0x20, stream, fields))
    answered(peer, stream)


@case("5.3.2", "a stream that depends on itself does no harm to others")
def _(peer):
    stream = peer.stream()
    peer.send(raw(PRIORITY, 0, stream, stream.to_bytes(4, "big") + b"\x10"))
    serves(peer)


# -------------------------------------------------------------------------------- errors


@case("5.4.1", "a GOAWAY for an error names the last stream that was served")
def _(peer):
    finished(peer)
    last = finished(peer)
    peer.send(data(0, b"x"))
    for frame in peer:
        if isinstance(frame, GoAwayFrame):
            equal(frame.last_stream_id, last, "the last stream")
            return
    raise Violation("closed without GOAWAY")


@case("5.4.1", "after the GOAWAY for an error the connection is closed, not kept")
def _(peer):
    peer.ask("/hold")
    peer.send(data(0, b"x"))
    connection_error(peer, PROTOCOL_ERROR)


@case("5.4.2", "an error of a stream leaves others as they were")
def _(peer):
    other = peer.stream()
    peer.send(headers(other, request("/echo", "POST"), end=False), data(other, b"hel"))
    wrong = peer.stream()
    peer.send(headers(wrong, request("/refused") + [("connection", "close")]))
    stream_error(peer, wrong, PROTOCOL_ERROR)
    peer.send(data(other, b"lo", end=True))
    equal(answered(peer, other), b"hello", "content")


@case("5.4.2", "a reset is never answered by a reset")
def _(peer):
    stream = peer.ask("/hold")
    peer.send(reset(stream), reset(stream), reset(stream, NO_ERROR))
    for frame in peer.round_trip():
        if isinstance(frame, RstStreamFrame):
            raise Violation(f"{frame}")
    serves(peer)


@case("5.5", "an unknown frame within a header block is a connection error")
def _(peer):
    peer.send(raw(HEADERS, 1, 1, block(request("/refused"))), raw(0xBE, 0, 1, b"x"))
    connection_error(peer, PROTOCOL_ERROR)
