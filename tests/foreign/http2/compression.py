"""Header compression: RFC 7541."""

from hpack import Encoder

from judge import (
    COMPRESSION_ERROR,
    NO_ERROR,
    answered,
    case,
    connection_error,
    equal,
    malformed,
    serves,
)
from peer import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    TABLE_SIZE,
    Violation,
    block,
    integer,
    literal,
    raw,
    request,
    setting,
)

WHOLE = END_HEADERS | END_STREAM


def decodes(section, what, *blocks):
    """Requests with these blocks, one behind the other, are answered."""

    @case(section, f"{what} is decoded")
    def _(peer):
        for one in blocks:
            stream = peer.stream()
            peer.send(raw(HEADERS, WHOLE, stream, one))
            answered(peer, stream)


def fails(section, what, tail, *before):
    """A block with this at its end is an error of compression, behind these good blocks."""

    @case(section, f"{what} is a connection error")
    def _(peer):
        for one in before:
            stream = peer.stream()
            peer.send(raw(HEADERS, WHOLE, stream, one))
            answered(peer, stream)
        peer.send(raw(HEADERS, WHOLE, peer.stream(), tail))
        connection_error(peer, COMPRESSION_ERROR)


GOOD, BAD = block(request()), block(request("/refused"))
KEPT = literal("x-kept", "yes", 0x40)

# ------------------------------------------------------------------------- indexes and tables

fails("2.3.3", "the index 0", BAD + b"\x80")
fails("2.3.3", "the index 62 with an empty dynamic table", BAD + b"\xbe")
fails("2.3.3", "an index far behind both tables", BAD + integer(100000, 7, 0x80))
fails("2.3.3", "an index behind what was inserted", BAD + b"\xbf", GOOD + KEPT)
fails("2.3.3", "a name with the index 62 and an empty dynamic table", BAD + b"\x7e\x01x")
fails("2.3.3", "a name of an unindexed literal behind both tables", BAD + b"\x0f\x70\x01x")
decodes("2.3.2", "an entry of the dynamic table in a later request", GOOD + KEPT, GOOD + b"\xbe")
decodes("2.3.2", "an entry of the dynamic table in the same block", GOOD + KEPT + b"\xbe\xbe")
decodes(
    "2.3.2",
    "entries, of which the last inserted has the lowest index,",
    GOOD + KEPT + literal("x-two", "2", 0x40),
    GOOD + b"\xbe\xbf",
)
decodes("6.1", "a request out of the static table", b"\x82\x84\x87" + b"\x01\x0bapp.example")
decodes(
    "6.2.1",
    "a literal with a name of the static table",
    b"\x82\x84\x87" + b"\x41\x0bapp.example",
    b"\x82\x84\x87\xbe",
)
decodes("6.2.2", "a literal without indexing", GOOD + literal("x-a", "1", 0x00))
decodes("6.2.3", "a literal that is never indexed", GOOD + literal("x-a", "1", 0x10))


@case("6.2.2", "a literal without indexing is not in the table")
def _(peer):
    stream = peer.stream()
    peer.send(raw(HEADERS, WHOLE, stream, GOOD + literal("x-a", "1", 0x00)))
    answered(peer, stream)
    peer.send(raw(HEADERS, WHOLE, peer.stream(), BAD + b"\xbe"))
    connection_error(peer, COMPRESSION_ERROR)


@case("6.2.3", "a literal that is never indexed is not in the table")
def _(peer):
    stream = peer.stream()
    peer.send(raw(HEADERS, WHOLE, stream, GOOD + literal("x-a", "1", 0x10)))
    answered(peer, stream)
    peer.send(raw(HEADERS, WHOLE, peer.stream(), BAD + b"\xbe"))
    connection_error(peer, COMPRESSION_ERROR)


@case("6.1", "every entry of the static table that a request may have is decoded")
def _(peer):
    for index in range(15, 62):
        # Of these some are fields of one hop, or say something about the request.
        if index in (28, 35, 38, 57):
            continue
        stream = peer.stream()
        peer.send(raw(HEADERS, WHOLE, stream, GOOD + integer(index, 4) + b"\x01a"))
        answered(peer, stream)


# ------------------------------------------------------------------------- the table's size

OLD = [literal(f"x-{n}", "a" * 1000, 0x40) for n in range(5)]
fails("4.4", "an entry that was evicted", BAD + b"\xc2", GOOD + b"".join(OLD))
decodes("4.4", "an entry that was not evicted", GOOD + b"".join(OLD), GOOD + b"\xbe")
decodes(
    "4.4", "a literal that is larger than the table", GOOD + literal("x-large", "a" * 5000, 0x40)
)
fails(
    "4.4",
    "an entry of a table that was emptied by a larger one",
    BAD + b"\xbe",
    GOOD + KEPT + literal("x-large", "a" * 5000, 0x40),
)
decodes(
    "4.3",
    "a table of size 0 and then of 4,096",
    b"\x20" + integer(4096, 5, 0x20) + GOOD + KEPT,
    GOOD + b"\xbe",
)
decodes("6.3", "a table of size 0", b"\x20" + GOOD + KEPT, GOOD)
fails("4.3", "an entry of a table that was made smaller", b"\x20" + BAD + b"\xbe", GOOD + KEPT)
fails("6.3", "a table above what was allowed", integer(4097, 5, 0x20) + BAD)
fails("6.3", "a table far above what was allowed", integer(1 << 30, 5, 0x20) + BAD)
fails("4.2", "a change of the table's size at the end of a block", BAD + b"\x20")
fails(
    "4.2",
    "a change of the table's size within a block",
    block(request("/refused")[:2]) + b"\x20" + block(request("/refused")[2:]),
)

# -------------------------------------------------------------------------- integers and strings

fails("5.1", "an integer that does not end", BAD + b"\xff" + b"\xff" * 10 + b"\x7f")
fails("5.1", "an integer above 32 bits as a length", BAD + b"\x00\x7f\xff\xff\xff\xff\xff\xff\x01")
fails("5.1", "an integer that is cut off", BAD + b"\xff\x80")
fails("5.1", "an integer of which only the prefix came", BAD + b"\x00\x7f")
fails("5.2", "a string that is longer than its block", BAD + b"\x00\x0aabc")
fails("5.2", "a value that is missing", BAD + b"\x00\x03abc")
decodes(
    "5.1", "an integer with zeros behind it", GOOD + b"\x00\x01a" + b"\x7f\x81\x00" + b"b" * 128
)
decodes("5.2", "an empty string in either coding", GOOD + b"\x00\x01a\x00" + b"\x00\x01b\x80")


@case("5.2", "strings in Huffman coding are decoded")
def _(peer):
    encoder = Encoder()
    stream = peer.stream()
    fields = request("/echo", "POST") + [("x-all", bytes(range(0x21, 0x7F)).decode())]
    peer.send(raw(HEADERS, END_HEADERS, stream, encoder.encode(fields, huffman=True)))
    peer.send(raw(0, END_STREAM, stream, b"hello"))
    equal(answered(peer, stream), b"hello", "content")
    stream = peer.stream()
    # Now most of it stands in the table.
    peer.send(raw(HEADERS, WHOLE, stream, encoder.encode(fields, huffman=True)))
    answered(peer, stream)


# `a` is 00011: three bits are left, which must be the begin of the end of a string, all ones.
decodes("5.2", "a string whose padding is the begin of EOS", GOOD + b"\x00\x01a\x81\x1f")
fails("5.2", "padding that is not the begin of EOS", BAD + b"\x00\x01a\x81\x18")
fails("5.2", "padding of a zero among ones", BAD + b"\x00\x01a\x81\x1d")
fails("5.2", "padding of eight bits", BAD + b"\x00\x01a\x82\x1f\xff")
fails("5.2", "padding of more than eight bits", BAD + b"\x00\x01a\x84\x1f\xff\xff\xff")
fails("5.2", "EOS within a string", BAD + b"\x00\x01a\x84\xff\xff\xff\xfc")
fails("5.2", "EOS as a whole string", BAD + b"\x00\x01a\x84\xff\xff\xff\xff")

# ----------------------------------------------------------------------------- both tables' state


@case("2.2", "a malformed request leaves the compression in order")
def _(peer):
    stream = peer.stream()
    peer.send(raw(HEADERS, WHOLE, stream, BAD + block([("connection", "close")]) + KEPT))
    malformed(peer, stream)
    stream = peer.stream()
    peer.send(raw(HEADERS, WHOLE, stream, GOOD + b"\xbe"))
    answered(peer, stream)


@case("2.2", "trailers belong to the same state as heads")
def _(peer):
    stream = peer.ask("/echo", "POST", end=False)
    peer.send(raw(HEADERS, WHOLE, stream, KEPT))
    answered(peer, stream)
    stream = peer.stream()
    peer.send(raw(HEADERS, WHOLE, stream, GOOD + b"\xbe"))
    answered(peer, stream)


@case("2.2", "a head that is refused for its size leaves the compression in order")
def _(peer):
    stream = peer.stream()
    # The same large entry again and again: little on the wire, much in the list.
    large = literal("x-large", "a" * 3000, 0x40)
    peer.send(raw(HEADERS, WHOLE, stream, BAD + large + b"\xbe" * 20))
    for frame in peer:
        if frame.stream_id == stream:
            break
    stream = peer.stream()
    peer.send(raw(HEADERS, WHOLE, stream, GOOD + b"\xbe"))
    answered(peer, stream)


@case("10.5.1", "a block that unfolds into very much is refused, not kept")
def _(peer):
    large = literal("x-large", "a" * 3900, 0x40)
    peer.send(raw(HEADERS, WHOLE, peer.stream(), BAD + large + b"\xbe" * 12000))
    for frame in peer:
        if frame.type == 7 and frame.error_code != NO_ERROR:
            return
        if getattr(frame, "fields", None):
            equal(dict(frame.fields)[b":status"], b"431", "status")
            return
        if frame.type == 3:
            return
    raise Violation("closed without a word")


@case("4.2", "a client without a table gets blocks that need none", settings=[(TABLE_SIZE, 0)])
def _(peer):
    for _ in range(3):
        serves(peer)
    equal(len(peer.decoder.header_table.dynamic_entries), 0, "entries")


@case("4.2", "a table that becomes smaller holds for the answers that follow")
def _(peer):
    serves(peer)
    peer.send(setting((TABLE_SIZE, 100)))
    peer.round_trip()
    peer.decoder.max_allowed_table_size = 100
    for _ in range(3):
        serves(peer)
    if peer.decoder.header_table_size > 100:
        raise Violation(f"a table of {peer.decoder.header_table_size} bytes")


@case("4.2", "a table that becomes larger need not be used", settings=[(TABLE_SIZE, 1 << 20)])
def _(peer):
    for _ in range(3):
        serves(peer)
