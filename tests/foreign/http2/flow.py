"""Flow control: RFC 9113 sections 5.2 and 6.9."""

from hyperframe.frame import GoAwayFrame, RstStreamFrame

from judge import (
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    answered,
    case,
    connection_error,
    content,
    equal,
    name,
    rest,
    serves,
    stream_error,
)
from peer import (
    WINDOW,
    WINDOW_UPDATE,
    Violation,
    data,
    raw,
    setting,
    window,
)

MOST = (1 << 31) - 1


@case("6.9", "WINDOW_UPDATE of 0 for the connection is a connection error")
def _(peer):
    peer.send(window(0, 0))
    connection_error(peer, PROTOCOL_ERROR)


@case("6.9", "WINDOW_UPDATE of 0 for a stream is an error of the stream")
def _(peer):
    stream = peer.ask("/hold")
    peer.send(window(stream, 0))
    stream_error(peer, stream, PROTOCOL_ERROR)


for length in (0, 3, 5):

    @case("6.9", f"WINDOW_UPDATE of {length} bytes is a connection error")
    def _(peer, length=length):
        peer.send(raw(WINDOW_UPDATE, 0, 0, bytes(length)))
        connection_error(peer, FRAME_SIZE_ERROR)


@case("6.9", "the reserved bit of an increment is ignored")
def _(peer):
    peer.send(window(0, 1 << 31 | 1000))
    serves(peer)


@case("6.9.1", "a window of the connection above 2,147,483,647 is a connection error")
def _(peer):
    peer.send(window(0, MOST), window(0, MOST))
    connection_error(peer, FLOW_CONTROL_ERROR)


@case("6.9.1", "a window of the connection of 2,147,483,647 is accepted")
def _(peer):
    peer.send(window(0, MOST - 65535))
    serves(peer)


@case("6.9.1", "a window of a stream above 2,147,483,647 is an error of the stream")
def _(peer):
    stream = peer.ask("/hold")
    peer.send(window(stream, MOST))
    stream_error(peer, stream, FLOW_CONTROL_ERROR)


@case("6.9.1", "no content comes into a window of 0, but the head does", settings=[(WINDOW, 0)])
def _(peer):
    stream = peer.ask("/bytes/10")
    while not hasattr(peer.next(), "fields"):
        pass
    content(peer, stream, 0)
    peer.send(window(stream, 10))
    equal(len(rest(peer, stream)), 10, "bytes")


@case("6.9.1", "an answer without content needs no window", settings=[(WINDOW, 0)])
def _(peer):
    answered(peer, peer.ask("/status/204"), 204)
    answered(peer, peer.ask("/bytes/1000", "HEAD"))


@case("6.9.1", "content comes byte by byte if that is the window", settings=[(WINDOW, 1)])
def _(peer):
    stream = peer.ask("/bytes/5")
    got = content(peer, stream, 1)
    for _ in range(3):
        peer.send(window(stream, 1))
        got += content(peer, stream, 1)
    peer.send(window(stream, 1))
    equal(got + rest(peer, stream), bytes(range(5)), "content")


@case("6.9.1", "content stops where the window of the stream ends", settings=[(WINDOW, 1000)])
def _(peer):
    stream = peer.ask("/bytes/5000")
    content(peer, stream, 1000)
    peer.send(window(stream, 1500))
    content(peer, stream, 1500)
    # Others have windows of their own.
    other = peer.ask("/bytes/900")
    equal(len(answered(peer, other)), 900, "bytes")


@case("6.9.1", "content stops where the window of the connection ends", settings=[(WINDOW, MOST)])
def _(peer):
    stream = peer.ask("/bytes/100000")
    content(peer, stream, 65535)
    peer.send(window(0, 1))
    content(peer, stream, 1)
    peer.send(window(0, 1 << 20))
    equal(len(rest(peer, stream)), 100000 - 65536, "bytes")


@case(
    "6.9.1",
    "streams share the window of the connection and none is lost",
    settings=[(WINDOW, MOST)],
)
def _(peer):
    streams = [peer.ask("/bytes/30000") for _ in range(6)]
    got, left = {stream: 0 for stream in streams}, set(streams)
    while left:
        frame = peer.next()
        if frame is None or isinstance(frame, (GoAwayFrame, RstStreamFrame)):
            raise Violation(f"{frame} with {left} left")
        if frame.stream_id in got and hasattr(frame, "data") and not hasattr(frame, "fields"):
            got[frame.stream_id] += len(frame.data)
            if frame.data:
                peer.send(window(0, len(frame.data)))
            if "END_STREAM" in frame.flags:
                left.remove(frame.stream_id)
    equal(set(got.values()), {30000}, "bytes")


@case("6.9.1", "more than the windows allow is a flow control error")
def _(peer):
    stream = peer.ask("/stall", "POST", end=False)
    peer.round_trip()
    chunk = data(stream, bytes(16384))
    for _ in range(4096):
        peer.send(chunk)
        if peer.has_news():
            frame = peer.next()
            if frame is None:
                raise Violation("closed without FLOW_CONTROL_ERROR")
            if isinstance(frame, (GoAwayFrame, RstStreamFrame)):
                equal(name(frame.error_code), name(FLOW_CONTROL_ERROR), "code")
                return
    raise Violation("64 MiB were taken without a window for them")


@case("6.9.1", "a window that is used is given back as the content is taken")
def _(peer):
    serves(peer)
    peer.round_trip()
    stream = peer.ask("/echo", "POST", end=False)
    room = peer.settings.get(WINDOW, 65535)
    sent = 0
    while sent < 1 << 20:
        while room < 16384 or peer.windows[0] < 16384:
            before = peer.windows.get(stream, 0)
            if peer.next() is None:
                raise Violation("closed")
            room += peer.windows.get(stream, 0) - before
        peer.send(data(stream, bytes(16384)))
        sent, room, peer.windows[0] = sent + 16384, room - 16384, peer.windows[0] - 16384
    peer.send(window(0, 1 << 20), window(stream, 1 << 20), data(stream, b"", end=True))
    equal(len(answered(peer, stream)), sent, "bytes")


@case("6.9.2", "a larger initial window opens those of open streams", settings=[(WINDOW, 10)])
def _(peer):
    stream = peer.ask("/bytes/1000")
    content(peer, stream, 10)
    peer.send(setting((WINDOW, 110)))
    content(peer, stream, 100)
    peer.send(setting((WINDOW, 65535)))
    equal(len(rest(peer, stream)), 890, "bytes")


@case("6.9.2", "a smaller initial window may leave less than nothing", settings=[(WINDOW, 100)])
def _(peer):
    stream = peer.ask("/bytes/1000")
    content(peer, stream, 100)
    peer.send(setting((WINDOW, 40)), window(stream, 59))
    # One less than nothing: nothing may come, and then exactly what is above nothing.
    content(peer, stream, 0)
    peer.send(window(stream, 11))
    content(peer, stream, 10)


@case("6.9.2", "an initial window that makes one too large is a connection error")
def _(peer):
    stream = peer.ask("/hold")
    peer.send(window(stream, MOST - 65535), setting((WINDOW, 65536)))
    connection_error(peer, FLOW_CONTROL_ERROR)


@case("6.9.2", "the window of the connection is not changed by settings", settings=[(WINDOW, MOST)])
def _(peer):
    stream = peer.ask("/bytes/100000")
    content(peer, stream, 65535)
    peer.send(setting((WINDOW, MOST - 1)))
    content(peer, stream, 0)


@case("5.2.1", "a stream without a window does not hold up others", settings=[(WINDOW, 0)])
def _(peer):
    stuck = [peer.ask("/bytes/50000") for _ in range(10)]
    stream = peer.ask("/bytes/50000")
    peer.send(window(stream, 50000))
    equal(len(answered(peer, stream)), 50000, "bytes")
    for stream in stuck:
        content(peer, stream, 0)


@case("5.2.1", "content that nobody takes does not hold up the next request")
def _(peer):
    stream = peer.ask("/stall", "POST", end=False)
    peer.send(data(stream, bytes(16384)), data(stream, bytes(16384)))
    serves(peer)
