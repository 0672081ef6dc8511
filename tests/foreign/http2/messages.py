"""Requests and answers, well-formed and malformed: RFC 9113 section 8."""

from hyperframe.frame import GoAwayFrame, RstStreamFrame

from judge import (
    NO_ERROR,
    STREAM_CLOSED,
    answered,
    case,
    closed,
    either_error,
    equal,
    malformed,
    name,
    refused,
    serves,
)
from peer import (
    CONT,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    NAME,
    Violation,
    block,
    data,
    headers,
    raw,
    request,
)

REFUSED = request("/refused")
POST = request("/refused", "POST")


# What is owed reaches the backend under another name, until it is paid.
RENAMED = {"/refused": "/owed", "/refused#part": "/owed#part"}


def refuse(section, what, fields, content=None, verdict=malformed, owed=False):
    """A request with these fields, and with this content if there is one, is malformed."""

    @case(section, f"{what} is malformed", owed=owed)
    def _(peer):
        stream = peer.stream()
        sent = [(name, RENAMED.get(value, value) if owed else value) for name, value in fields]
        peer.send(headers(stream, sent, end=content is None))
        for place, piece in enumerate(content or ()):
            peer.send(data(stream, piece, end=place + 1 == len(content)))
        verdict(peer, stream)


def accept(section, what, fields, status=200, content=None):
    """A request with these fields is answered with `status`."""

    @case(section, f"{what} is accepted")
    def _(peer):
        stream = peer.stream()
        peer.send(headers(stream, fields, end=content is None))
        if content is not None:
            peer.send(data(stream, content, end=True))
        answered(peer, stream, status)


def without(name):
    """The fields of a request but one."""
    return [field for field in REFUSED if field[0] != name]


def instead(name, value):
    """The fields of a request with another value of one."""
    return [(key, value if key == name else old) for key, old in REFUSED]


# -------------------------------------------------------------------- 8.1: the order of frames


@case("8.1", "trailers end a request")
def _(peer):
    stream = peer.ask("/echo", "POST", end=False)
    peer.send(data(stream, b"hello"), headers(stream, [("x-trailer", "1")]))
    equal(answered(peer, stream), b"hello", "content")


@case("8.1", "trailers may follow the head at once")
def _(peer):
    stream = peer.ask("/echo", "POST", end=False)
    peer.send(headers(stream, [("x-trailer", "1")]))
    equal(answered(peer, stream), b"", "content")


@case("8.1", "a second head that does not end the request is malformed")
def _(peer):
    stream = peer.ask("/echo", "POST", end=False)
    peer.send(data(stream, b"hello"), headers(stream, [("x-trailer", "1")], end=False))
    malformed(peer, stream)


@case("8.1", "DATA behind trailers is an error")
def _(peer):
    stream = peer.ask("/hold", "POST", end=False)
    peer.send(headers(stream, [("x-trailer", "1")]), data(stream, b"x", end=True))
    either_error(peer, stream, STREAM_CLOSED)


for field in [(":path", "/"), (":method", "GET"), (":unknown", "1"), (":status", "200")]:

    @case("8.1", f"{field[0]} in trailers is malformed, or at least means nothing")
    def _(peer, field=field):
        stream = peer.ask("/echo", "POST", end=False)
        peer.send(data(stream, b"x"), headers(stream, [field]))
        refused(peer, stream, "400", "200")


@case("8.1", "an answer that does not await the request ends it without an error")
def _(peer):
    # Nobody of this name is served here, which can be said before the content comes.
    stream = peer.stream()
    peer.send(headers(stream, request("/refused", "POST", "other.example"), end=False))
    status, _, _ = peer.response(stream)
    if not 400 <= status < 500:
        raise Violation(f"status {status}")
    peer.send(data(stream, b"late"), data(stream, b"later", end=True))
    for frame in peer.round_trip():
        if isinstance(frame, RstStreamFrame) and frame.stream_id == stream:
            equal(frame.error_code, NO_ERROR, "code")
    serves(peer)


for path, method in [("/status/204", "GET"), ("/status/304", "GET"), ("/bytes/100", "HEAD")]:

    @case("8.1", f"an answer to {method} {path} has no content")
    def _(peer, path=path, method=method):
        stream = peer.ask(path, method)
        status, _, content = peer.response(stream)
        equal((status, content), (int(path[8:]) if "status" in path else 200, b""), "answer")


@case("8.1", "answers have pseudo-header fields first, lower-case names and nothing of a hop")
def _(peer):
    for path in ("/", "/chunks/30000", "/status/404", "/bytes/10"):
        _, fields, _ = peer.response(peer.ask(path))
        names = [field.decode() for field in fields]
        equal(names[0], ":status", "the first field")
        for field in names[1:]:
            if field.startswith(":") or field != field.lower():
                raise Violation(f"the field {field}")
            if field in ("connection", "keep-alive", "transfer-encoding", "upgrade"):
                raise Violation(f"the field {field}")


# ----------------------------------------------------------------- 8.1.1: content and its length

refuse("8.1.1", "less content than its length says", POST + [("content-length", "6")], [b"hello"])
refuse("8.1.1", "more content than its length says", POST + [("content-length", "4")], [b"hello"])
refuse("8.1.1", "a length without content", POST + [("content-length", "1")])
# By then the backend may have had a complete request, of the length that was said.
OVERRUN = request("/hold", "POST")
refuse("8.1.1", "content behind a length of 0", OVERRUN + [("content-length", "0")], [b"x"])
refuse("8.1.1", "content behind its length", OVERRUN + [("content-length", "4")], [b"hell", b"o"])
refuse(
    "8.1.1",
    "content of two frames above its length",
    POST + [("content-length", "7")],
    [b"hell", b"hell"],
)
refuse(
    "8.1.1",
    "content of two frames below its length",
    POST + [("content-length", "9")],
    [b"hell", b"hell"],
)
refuse(
    "8.1.1",
    "two lengths that differ",
    POST + [("content-length", "5"), ("content-length", "6")],
    [b"hello"],
)
for value in ["", "abc", "-5", "+5", "5,6", "0x5", "5 5", "5.0", "99999999999999999999999"]:
    refuse("8.1.1", f"a length of {value!r}", POST + [("content-length", value)], [b"hello"])


for value in ["", " ", "abc", "-1", "+0", "0,0", "0x0", "1"]:
    refuse("8.1.1", f"a length of {value!r} without content", REFUSED + [("content-length", value)])


refuse("8.1.1", "an empty length with empty content", POST + [("content-length", "")], [b""])
FIVE = ("content-length", "5")
refuse("8.1.1", "the same length twice", POST + [FIVE, FIVE], [b"hello"])


@case("8.1.1", "less content than its length says, before trailers, is malformed")
def _(peer):
    stream = peer.ask("/refused", "POST", end=False, extra=[("content-length", "9")])
    peer.send(data(stream, b"hello"), headers(stream, [("x-trailer", "1")]))
    malformed(peer, stream)


accept(
    "8.1.1",
    "content of the length that it says",
    request("/echo", "POST") + [("content-length", "5")],
    content=b"hello",
)
accept(
    "8.1.1", "a length of 0 without content", request("/echo", "POST") + [("content-length", "0")]
)

# ----------------------------------------------------------------- 8.2: names and values of fields

for field, what in [
    (b"Upper", "an upper-case letter"),
    (b"x-uppeR", "an upper-case letter at the end"),
    (b"", "nothing"),
    (b"x name", "a space"),
    (b" x-name", "a space at its begin"),
    (b"x-name ", "a space at its end"),
    (b"x\tname", "a tab"),
    (b"x:name", "a colon"),
    (b"x-name:", "a colon at its end"),
    (b"x\0name", "NUL"),
    (b"x\rname", "CR"),
    (b"x\nname", "LF"),
    (b"x\r\nsmuggled: 1", "a whole line"),
    (b"x\x7fname", "DEL"),
    (b"x\x80name", "a byte that is not ASCII"),
    (b"x\xffname", "the highest byte"),
    (b"x(name", "a parenthesis"),
    (b'x"name', "a quotation mark"),
]:
    refuse("8.2.1", f"a name with {what}", REFUSED + [(field, "1")])

for value, what in [
    (b"a\0b", "NUL"),
    (b"a\rb", "CR"),
    (b"a\nb", "LF"),
    (b"a\r\nsmuggled: 1", "a whole line"),
    (b"a\r\n\r\nGET /smuggled HTTP/1.1", "a whole head"),
    (b" a", "a space at its begin"),
    (b"a ", "a space at its end"),
    (b"\ta", "a tab at its begin"),
    (b"a\t", "a tab at its end"),
]:
    refuse("8.2.1", f"a value with {what}", REFUSED + [("x-name", value)])

accept("8.2.1", "an empty value", request() + [("x-name", "")])
accept(
    "8.2.1",
    "a value with spaces within and bytes that are not ASCII",
    request() + [("x-name", b"a \t b\xc3\xa4\xff")],
)
accept("8.2.1", "every character of a token in a name", request() + [("!#$%&'*+-.^_`|~09az", "1")])

for field, value in [
    ("connection", "close"),
    ("connection", "x-name"),
    ("proxy-connection", "keep-alive"),
    ("keep-alive", "timeout=5"),
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "identity"),
    ("upgrade", "websocket"),
    ("te", "gzip"),
    ("te", "trailers, gzip"),
    ("te", "chunked"),
]:
    refuse("8.2.2", f"{field}: {value}", POST + [(field, value)], [b"hello"])

accept("8.2.2", "te: trailers", request() + [("te", "trailers")])
accept(
    "8.2.3",
    "a cookie in several fields",
    request("/cookies") + [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")],
)

# ------------------------------------------------------------------- 8.3: pseudo-header fields

refuse("8.3", "an unknown pseudo-header field", REFUSED + [(":unknown", "1")])
refuse("8.3", "an unknown pseudo-header field at the begin", [(":unknown", "1")] + REFUSED)
refuse("8.3", "a pseudo-header field of an answer", [(":status", "200")] + REFUSED)
refuse("8.3", "a pseudo-header field behind another field", [("x-name", "1")] + REFUSED)
refuse(
    "8.3",
    "a last pseudo-header field behind another field",
    REFUSED[:3] + [("x-name", "1")] + REFUSED[3:],
)
for field in REFUSED:
    refuse("8.3.1", f"{field[0]} twice", REFUSED + [field])
for field in (":method", ":scheme", ":path"):
    refuse("8.3.1", f"a request without {field}", without(field))
    refuse("8.3.1", f"an empty {field}", instead(field, ""))

for path in [
    "refused",
    "*",
    "https://app.example/refused",
    "/refused#part",
    "/refused a",
    "/refused\0",
    "/refused\r\nx: 1",
    "/refused HTTP/1.1\r\nx: 1",
    "/refused\x7f",
    "/refused\t",
]:
    refuse("8.3.1", f"a path of {path!r}", instead(":path", path), owed="#" in path)
for method in ["GET ", "G\0T", "GET / HTTP/1.1\r\nx: 1", "GE T", "G:T", "GE\tT"]:
    refuse("8.3.1", f"a method of {method!r}", instead(":method", method))
for scheme in ["ht tps", "https:", "https\r\nx: 1", "\0", "1https"]:
    refuse("8.3.1", f"a scheme of {scheme!r}", instead(":scheme", scheme))
for authority in [
    "user@app.example",
    "user:word@app.example",
    "",
    "app.example/refused",
    "app.example\r\nx: 1",
    "app .example",
    "app.example:port",
    "app.example:99999",
    "a,b",
    "app.example#x",
    "app.example?x",
    "[::1",
]:
    refuse("8.3.1", f"an authority of {authority!r}", instead(":authority", authority))

refuse("8.3.1", "an authority and another host", REFUSED + [("host", "other.example")])
refuse("8.3.1", "an authority and two hosts", REFUSED + [("host", NAME), ("host", "other.example")])
refuse("8.3.1", "neither authority nor host", without(":authority"))
refuse(
    "8.3.1",
    "two hosts without an authority",
    without(":authority") + [("host", NAME), ("host", "other.example")],
)
accept("8.3.1", "an authority and the same host", request() + [("host", NAME)])
accept(
    "8.3.1",
    "a host instead of an authority",
    [field for field in request() if field[0] != ":authority"] + [("host", NAME)],
)
accept("8.3.1", "an authority in upper case", request("/", authority="APP.example"))
accept("8.3.1", "an authority with a port", request("/", authority=f"{NAME}:443"))
accept("8.3.1", "the path * for OPTIONS", request("*", "OPTIONS"))
accept(
    "8.3.1",
    "a path with every character that it may have",
    request("/-._~!$&'()*+,;=:@%20/?q=/?:@"),
)
accept("8.3.1", "an unknown method", request("/", "PROPFIND"))

# ---------------------------------------------------------------------------------- 8.5: CONNECT


def no_tunnel(peer, stream):
    """Malformed, or refused as every CONNECT is."""
    refused(peer, stream, "400", "405")


CONNECT = [(":method", "CONNECT"), (":authority", f"{NAME}:443")]
accept("8.5", "CONNECT, and refused in words,", CONNECT, status=405)
refuse("8.5", "CONNECT with a path", CONNECT + [(":path", "/refused")])
refuse("8.5", "CONNECT with a scheme", CONNECT + [(":scheme", "https")])
refuse("8.5", "CONNECT without an authority", CONNECT[:1], verdict=no_tunnel)
refuse(
    "8.5",
    "CONNECT with a protocol that was not offered",
    request("/refused", "CONNECT") + [(":protocol", "websocket")],
)
refuse("8.5", "a protocol without CONNECT", REFUSED + [(":protocol", "websocket")])

# ------------------------------------------------------------------------- 10.5: what is too much


def too_much(peer, stream):
    """Refused for its size: in words, by a reset, or by the end of a connection that floods."""
    for frame in peer:
        if isinstance(frame, GoAwayFrame):
            equal(name(frame.error_code), "ENHANCE_YOUR_CALM", "code")
            return closed(peer)
        if frame.stream_id == stream and getattr(frame, "fields", None):
            equal(dict(frame.fields)[b":status"], b"431", "status")
            return serves(peer)
        if frame.stream_id == stream and isinstance(frame, RstStreamFrame):
            return serves(peer)


for size, count in [(11000, 3), (4000, 10), (400, 90)]:

    @case("10.5.1", f"a head of {count} times {size} bytes is refused")
    def _(peer, size=size, count=count):
        stream = peer.stream()
        peer.send(raw(HEADERS, END_STREAM, stream, block(request("/refused"))))
        peer.send(raw(CONT, 0, stream, block([("x-a", "b" * size)])) * count)
        peer.send(raw(CONT, END_HEADERS, stream, b""))
        too_much(peer, stream)


@case("10.5", "fields above their number are refused")
def _(peer):
    stream = peer.stream()
    peer.send(headers(stream, request("/refused") + [(f"x-{n}", "1") for n in range(101)]))
    too_much(peer, stream)


@case("10.5", "a path that is too long is refused in words")
def _(peer):
    answered(peer, peer.ask("/" + "a" * 8192), 414)
    serves(peer)
