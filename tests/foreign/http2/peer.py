"""A client of HTTP/2 that sends what it is told, frame by frame, and reads what really comes.

Owns the TLS connection and the bookkeeping that no case is about: settings are acknowledged, header
blocks are decoded in order, windows are counted. Frames are read by `hyperframe`, header blocks by
`hpack`, which others wrote. Refuses to know what is right; `judge` does. What no server may ever
do, however it was provoked, is refused here: promise a push, send a frame above the agreed size, or
a header block that cannot be decoded.
"""

import socket
import ssl

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NAME = "app.example"
PATIENCE = 10

# Types, for frames that no library would write.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONT = range(5, 10)

END_STREAM, END_HEADERS, PADDED, PRIORITISED, ACK = 0x1, 0x4, 0x8, 0x20, 0x1

# Settings.
TABLE_SIZE, ENABLE_PUSH, STREAMS_MAX, WINDOW, FRAME_SIZE, LIST_SIZE = range(1, 7)


class Violation(Exception):
    """The server did what it must not do, or did not do what it must."""


class Peer:
    """A connection, with its preface sent unless `silent`."""

    where = None
    ca = None

    def __init__(self, settings=(), silent=False, version=None):
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols(["h2"])
        if version is not None:
            context.minimum_version = context.maximum_version = version
        tcp = socket.create_connection(self.where, PATIENCE)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = context.wrap_socket(tcp, server_hostname=NAME)
        self.tls.settimeout(PATIENCE)
        self.decoder = hpack.Decoder()
        self.decoder.max_allowed_table_size = dict(settings).get(TABLE_SIZE, 4096)
        self.frame_max = dict(settings).get(FRAME_SIZE, 16384)
        self.buffer = b""
        self.settings = None
        self.acknowledged = 0
        self.block = None
        self.windows = {0: 65535}
        self.first_frame = None
        self.next_stream = 1
        if not silent:
            self.send(PREFACE, setting(*settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tls.close()

    def __iter__(self):
        while (frame := self.next()) is not None:
            yield frame

    def send(self, *pieces):
        """Sends all pieces as one write. A server that is gone shows itself to the reader."""
        try:
            self.tls.sendall(b"".join(pieces))
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def stream(self):
        """The number of a stream that was not used."""
        stream = self.next_stream
        self.next_stream += 2
        return stream

    def ask(self, path="/", method="GET", end=True, extra=()):
        """Sends an ordinary request on a stream of its own, which is returned."""
        stream = self.stream()
        self.send(headers(stream, request(path, method) + list(extra), end=end))
        return stream

    def next(self):
        """The next frame that means something to a case, or None at the end of the connection."""
        while True:
            frame = self.read()
            if frame is None or not self.keep_books(frame):
                return frame

    def read(self):
        """The next frame, or None at the end of the connection."""
        head = self.take(9)
        if head is None:
            return None
        frame, length = Frame.parse_frame_header(memoryview(head))
        if length > self.frame_max:
            raise Violation(f"a frame of {length} bytes, with {self.frame_max} allowed")
        body = self.take(length)
        if body is None:
            return None
        frame.parse_body(memoryview(body))
        if self.first_frame is None:
            self.first_frame = frame
        return frame

    def take(self, count):
        """So many bytes, or None if the connection ends before."""
        while len(self.buffer) < count:
            try:
                more = self.tls.recv(65536)
            except (ssl.SSLError, ConnectionError) as error:
                if isinstance(error, TimeoutError):
                    raise
                more = b""
            if not more:
                return None
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def has_news(self):
        """Whether a frame has begun to come, without waiting for one."""
        self.tls.setblocking(False)
        try:
            self.buffer += self.tls.recv(65536)
        except (OSError, ssl.SSLError):
            pass
        finally:
            self.tls.settimeout(PATIENCE)
        return bool(self.buffer)

    def keep_books(self, frame):
        """Whether `frame` is of no interest to a case."""
        if self.block is not None and not isinstance(frame, ContinuationFrame):
            raise Violation(f"{frame} within a header block")
        if isinstance(frame, SettingsFrame):
            if "ACK" in frame.flags:
                self.acknowledged += 1
                return False
            self.settings = dict(frame.settings)
            self.send(raw(SETTINGS, ACK, 0, b""))
            return True
        if isinstance(frame, PushPromiseFrame):
            raise Violation("a pushed stream, by a server that was not asked for one")
        if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self.send(raw(PING, ACK, 0, frame.opaque_data))
            return True
        if isinstance(frame, WindowUpdateFrame):
            known = self.windows.get(frame.stream_id, 0)
            self.windows[frame.stream_id] = known + frame.window_increment
            return False
        if isinstance(frame, (HeadersFrame, ContinuationFrame)):
            return self.keep_block(frame)
        return False

    def keep_block(self, frame):
        """Puts a header block together, and its fields into its last frame."""
        first, data = self.block or (frame, b"")
        data += frame.data
        if "END_HEADERS" not in frame.flags:
            self.block = (first, data)
            return True
        self.block = None
        try:
            frame.fields = self.decoder.decode(data, raw=True)
        except hpack.HPACKError as error:
            raise Violation(f"a header block that cannot be decoded: {error!r}") from error
        frame.ends = "END_STREAM" in first.flags
        return False

    def round_trip(self):
        """Returns once the server has read whatever was sent before; the frames until then."""
        mark = b"roundtrp"
        self.send(raw(PING, 0, 0, mark))
        seen = []
        for frame in self:
            if isinstance(frame, PingFrame) and frame.opaque_data == mark:
                return seen
            if isinstance(frame, GoAwayFrame):
                raise Violation(f"the connection was ended: {frame}")
            seen.append(frame)
        raise Violation("the connection was closed")

    def response(self, stream):
        """Status, fields and content of the answer on `stream`."""
        head, content = None, b""
        for frame in self:
            if isinstance(frame, GoAwayFrame) and frame.error_code:
                raise Violation(f"the connection was ended: {frame}")
            if frame.stream_id != stream:
                continue
            if frame.type == RST_STREAM:
                raise Violation(f"the stream was reset with code {frame.error_code}")
            if hasattr(frame, "fields"):
                status = int(dict(frame.fields).get(b":status", 0))
                if status == 101:
                    raise Violation("status 101, which does not exist here")
                head = head or (status >= 200 and frame.fields)
            if isinstance(frame, DataFrame):
                content += frame.data
            if "END_STREAM" in frame.flags or getattr(frame, "ends", False):
                fields = dict(head)
                return int(fields[b":status"]), fields, content
        raise Violation("the connection was closed before the answer was complete")


def raw(kind, flags, stream, payload, length=None):
    """A frame, however wrong."""
    length = len(payload) if length is None else length
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def setting(*pairs):
    """A SETTINGS frame."""
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs)
    return raw(SETTINGS, 0, 0, payload)


def request(path="/", method="GET", authority=NAME):
    """The fields that every request has."""
    return [
        (":method", method),
        (":scheme", "https"),
        (":authority", authority),
        (":path", path),
    ]


def headers(stream, fields, end=True):
    """A HEADERS frame with a whole block of `fields`."""
    return raw(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(fields))


def data(stream, content=b"", end=False):
    """A DATA frame."""
    return raw(DATA, END_STREAM if end else 0, stream, content)


def window(stream, increment):
    """A WINDOW_UPDATE frame."""
    return raw(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def reset(stream, code=8):
    """A RST_STREAM frame, of CANCEL if nothing else is said."""
    return raw(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def block(fields):
    """A header block of literals that touch no table (RFC 7541 section 6.2.2)."""
    return b"".join(literal(name, value) for name, value in fields)


def literal(name, value, first=0x00):
    """A field as a literal with a new name; `first` says whether it is indexed."""
    return bytes([first]) + string(name) + string(value)


def string(text):
    """A string without Huffman coding."""
    text = text if isinstance(text, bytes) else text.encode("utf-8")
    return integer(len(text), 7) + text


def integer(value, bits, first=0):
    """An integer with a prefix of `bits` (RFC 7541 section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])
