"""What a case is, and what a server may be found to do.

Owns the list of cases and the verdicts. Each case names the section of RFC 9113 or RFC 7541 that it
comes from. A connection error is a GOAWAY with the right code and then the end of the connection;
a stream error is a RST_STREAM with the right code on a connection that goes on serving; what is to
be ignored is followed by a request that is answered. "Nothing happens" is shown by what comes after
it, never by waiting.

Two things are allowed where they are not the best, and noted: PROTOCOL_ERROR, which section 7 calls
the unspecific code, where there is a specific one; and the end of the connection for an error of
one stream, which section 5.4.1 leaves to an endpoint. With `strict` they fail.
"""

from hyperframe.frame import DataFrame, GoAwayFrame, RstStreamFrame

from peer import Peer, Violation, request, headers

(
    NO_ERROR,
    PROTOCOL_ERROR,
    INTERNAL_ERROR,
    FLOW_CONTROL_ERROR,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    FRAME_SIZE_ERROR,
    REFUSED_STREAM,
    CANCEL,
    COMPRESSION_ERROR,
    CONNECT_ERROR,
    ENHANCE_YOUR_CALM,
) = range(12)

CODES = (
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED "
    "FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM"
).split()

CASES = []
NOTES = []

# Codes that say more than PROTOCOL_ERROR does.
SPECIFIC = {FRAME_SIZE_ERROR, COMPRESSION_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED}


def case(section, requirement, owed=False, **options):
    """Makes a function of a fresh connection into a case. What is owed is said, not failed."""

    def register(judged):
        def run():
            with Peer(**options) as peer:
                judged(peer)

        CASES.append((section, requirement, run, owed))
        return judged

    return register


def name(code):
    """A code in words."""
    return CODES[code] if code < len(CODES) else str(code)


def names(codes):
    """Codes in words."""
    return " or ".join(name(code) for code in codes)


def check(frame, codes):
    """Whether the frame has one of `codes`, or at least the unspecific one."""
    found = frame.error_code
    if found in codes:
        return
    if found != PROTOCOL_ERROR or not SPECIFIC & set(codes):
        raise Violation(f"{type(frame).__name__} {name(found)} instead of {names(codes)}")
    NOTES.append(f"PROTOCOL_ERROR for {names(codes)}")


def connection_error(peer, *codes):
    """The connection is ended for one of `codes`, in words."""
    for frame in peer:
        if isinstance(frame, GoAwayFrame):
            check(frame, codes)
            return closed(peer)
    raise Violation(f"closed without GOAWAY {names(codes)}")


def closed(peer):
    """The connection is ended, in words or without."""
    for _ in peer:
        pass


def stream_error(peer, stream, *codes):
    """The stream is reset for one of `codes`, and others are served."""
    for frame in peer:
        if isinstance(frame, GoAwayFrame):
            check(frame, codes)
            NOTES.append("the end of the connection for an error of a stream")
            return closed(peer)
        if isinstance(frame, RstStreamFrame) and frame.stream_id == stream:
            check(frame, codes)
            return serves(peer)
        if frame.stream_id == stream and getattr(frame, "fields", None):
            status = dict(frame.fields).get(b":status", b"?").decode()
            raise Violation(f"status {status} instead of RST_STREAM {names(codes)}")
    raise Violation(f"closed instead of RST_STREAM {names(codes)}")


def either_error(peer, stream, *codes):
    """The stream is reset or the connection is ended for one of `codes`, where both are right."""
    for frame in peer:
        ended = isinstance(frame, GoAwayFrame)
        if ended or (isinstance(frame, RstStreamFrame) and frame.stream_id == stream):
            check(frame, codes)
            return closed(peer) if ended else serves(peer)
    raise Violation(f"closed without {names(codes)}")


def malformed(peer, stream):
    """The request is refused as malformed: by RST_STREAM, or by 400 (RFC 9113 section 8.1.1)."""
    refused(peer, stream, "400")


def refused(peer, stream, *statuses):
    """The request is refused, by RST_STREAM or with one of `statuses`."""
    for frame in peer:
        if isinstance(frame, GoAwayFrame):
            check(frame, [PROTOCOL_ERROR])
            NOTES.append("the end of the connection for a malformed request")
            return closed(peer)
        if frame.stream_id != stream:
            continue
        if isinstance(frame, RstStreamFrame):
            check(frame, [PROTOCOL_ERROR])
            return serves(peer)
        if getattr(frame, "fields", None):
            status = dict(frame.fields).get(b":status", b"?").decode()
            if status not in statuses:
                raise Violation(f"status {status} for a malformed request")
            return serves(peer)
    raise Violation("closed for a malformed request")


def flood(peer, frames):
    """Sends until the server has something to say."""
    for frame in frames:
        peer.send(frame)
        if peer.has_news():
            return


def answered(peer, stream, status=200):
    """The request is answered with `status`; the content is returned."""
    found, _, content = peer.response(stream)
    if found != status:
        raise Violation(f"status {found} instead of {status}")
    return content


def serves(peer):
    """The connection is as good as ever."""
    stream = peer.stream()
    peer.send(headers(stream, request("/alive")))
    answered(peer, stream)


def equal(found, expected, what):
    """Compares."""
    if found != expected:
        raise Violation(f"{what}: {found!r} instead of {expected!r}")


def rest(peer, stream):
    """The rest of the content of an answer whose head has come."""
    taken = b""
    for frame in peer:
        if frame.stream_id == stream:
            taken += frame.data if isinstance(frame, DataFrame) else b""
            if "END_STREAM" in frame.flags:
                return taken
    raise Violation("closed before the end of the answer")


def content(peer, stream, count):
    """The content of `stream`, of which `count` bytes come and then no more."""
    taken = b""

    def take(frame):
        nonlocal taken
        if frame.stream_id == stream and isinstance(frame, (RstStreamFrame, GoAwayFrame)):
            raise Violation(f"{frame}")
        if frame.stream_id == stream and isinstance(frame, DataFrame):
            taken += frame.data

    while len(taken) < count:
        frame = peer.next()
        if frame is None:
            raise Violation(f"closed after {len(taken)} of {count} bytes")
        take(frame)
    for frame in peer.round_trip():
        take(frame)
    equal(len(taken), count, "bytes of content")
    return taken
