"""WebSocket over streams of HTTP/2 (RFC 8441): over2.py HOST PORT CA WHAT

The connection is kept by `h2`, frames of WebSocket are read and written by `websockets`. Owns what
a client may expect: that the way is offered, the answer to it, messages of every size class,
farewells, many sockets on one connection, and that one that nobody reads holds up no other.
"""

import os
import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

HOST, PORT, CA, WHAT = sys.argv[1:5]
NAME = "app.example"
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20]


class Connection:
    """A connection of HTTP/2."""

    def __init__(self):
        context = ssl.create_default_context(cafile=CA)
        context.set_alpn_protocols(["h2"])
        tcp = socket.create_connection((HOST, int(PORT)), 20)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = context.wrap_socket(tcp, server_hostname=NAME)
        config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.streams = {}
        self.flush()
        while not self.h2.remote_settings.get(8) and self.turn():
            pass
        assert self.h2.remote_settings.get(8) == 1, "CONNECT with a protocol is not offered"

    def flush(self):
        self.tls.sendall(self.h2.data_to_send())

    def turn(self):
        """Reads what there is; false if there are settings without the one that is waited for."""
        more = self.tls.recv(65536)
        assert more, "the connection ended"
        events = self.h2.receive_data(more)
        for event in events:
            stream = self.streams.get(getattr(event, "stream_id", None))
            if stream is not None:
                stream.note(event)
        self.flush()
        return not any(isinstance(event, h2.events.RemoteSettingsChanged) for event in events)

    def ask(self, head, end=False):
        """Sends a head, and waits for the one of the answer."""
        stream = Stream(self, self.h2.get_next_available_stream_id())
        self.streams[stream.id] = stream
        self.h2.send_headers(stream.id, head, end_stream=end)
        self.flush()
        while stream.head is None and not stream.ended:
            self.turn()
        return stream

    def open(self, path="/", extra=()):
        """A WebSocket."""
        head = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", path),
            (":authority", NAME),
            ("sec-websocket-version", "13"),
            *extra,
        ]
        return self.ask(head)


class Stream:
    """A stream that is, or was to be, a WebSocket."""

    def __init__(self, connection, number):
        self.connection, self.id = connection, number
        self.head = self.reset = None
        self.ended = self.unread = False
        self.reader = StreamReader()
        self.parser = None

    def note(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            self.head = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.reader.feed_data(event.data)
            if not self.unread and event.flow_controlled_length:
                length = event.flow_controlled_length
                self.connection.h2.acknowledge_received_data(length, self.id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.ended, self.reset = True, event.error_code

    def expect(self, status):
        assert self.head and self.head[":status"] == status, (self.head, self.reset)
        return self

    def write(self, bytes_):
        left = memoryview(bytes_)
        while len(left):
            room = self.connection.h2.local_flow_control_window(self.id)
            room = min(room, self.connection.h2.max_outbound_frame_size)
            if room <= 0:
                self.connection.turn()
                continue
            self.connection.h2.send_data(self.id, bytes(left[:room]))
            self.connection.flush()
            left = left[room:]

    def send(self, opcode, data, final=True):
        self.write(Frame(opcode, data, final).serialize(mask=True))

    def frame(self):
        """The next frame, or none if the stream ended before it was complete."""
        if self.parser is None:
            self.parser = Frame.parse(self.reader.read_exact, mask=False, max_size=1 << 22)
        while True:
            try:
                next(self.parser)
            except StopIteration as complete:
                self.parser = None
                return complete.value
            if self.ended:
                return None
            self.connection.turn()

    def message(self):
        """The next message."""
        data = b""
        while True:
            frame = self.frame()
            assert frame is not None, f"the stream ended: {self.reset}"
            if frame.opcode is Opcode.PING:
                self.send(Opcode.PONG, frame.data)
            elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                data += frame.data
                if frame.fin:
                    return data

    def end(self):
        """Waits for the end of the stream."""
        while not self.ended:
            self.connection.turn()


def echo():
    socket_ = Connection().open().expect("200")
    assert "sec-websocket-accept" not in socket_.head, socket_.head
    for size in SIZES:
        message = os.urandom(size)
        socket_.send(Opcode.BINARY, message)
        assert socket_.message() == message, size
    pieces = [os.urandom(size) for size in (0, 70000, 3)]
    for place, piece in enumerate(pieces):
        socket_.send(Opcode.CONT if place else Opcode.BINARY, piece, final=place == 2)
    assert socket_.message() == b"".join(pieces)


def pings():
    connection = Connection()
    socket_ = connection.open().expect("200")
    socket_.send(Opcode.PING, b"are you there")
    answer = socket_.frame()
    assert (answer.opcode, answer.data) == (Opcode.PONG, b"are you there"), answer
    assert connection.open("/ping").expect("200").message() == b"you are"


def closes():
    connection = Connection()
    for code in (1000, 1001, 3000, 4999):
        socket_ = connection.open(f"/close/{code}").expect("200")
        frame = socket_.frame()
        assert frame.opcode is Opcode.CLOSE, frame
        assert Close.parse(frame.data).code == code, frame
        socket_.send(Opcode.CLOSE, frame.data)
        socket_.end()
        socket_ = connection.open().expect("200")
        socket_.send(Opcode.CLOSE, Close(code, "farewell").serialize())
        frame = socket_.frame()
        assert Close.parse(frame.data).code == code, frame
        socket_.end()
    socket_ = connection.open("/kill").expect("200")
    socket_.send(Opcode.TEXT, b"now")
    assert socket_.frame() is None
    # A client that goes away takes its socket with it, and no other.
    socket_ = connection.open().expect("200")
    connection.h2.reset_stream(socket_.id, 8)
    connection.flush()
    other = connection.open().expect("200")
    other.send(Opcode.TEXT, b"still here")
    assert other.message() == b"still here"


def heads():
    connection = Connection()
    extra = [
        ("sec-websocket-protocol", "two"),
        ("origin", "https://app.example"),
        ("cookie", "a=1"),
    ]
    socket_ = connection.open("/headers?a=b%20c", extra).expect("200")
    assert socket_.head["sec-websocket-protocol"] == "two", socket_.head
    said = socket_.message().decode()
    for part in ("/headers?a=b%20c", "https://app.example", "a=1", "x-forwarded-proto"):
        assert part in said, said
    # Who only asks, or asks for another protocol, gets an answer in words or none.
    plain = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", NAME)]
    connection.ask(plain, end=True).expect("426")
    other = connection.ask([(":protocol", "other")] + plain[1:] + [(":method", "CONNECT")])
    assert other.head is None or other.head[":status"][0] in "45", other.head


def many():
    connection = Connection()
    sockets = [connection.open().expect("200") for _ in range(50)]
    for turn in range(10):
        for number, socket_ in enumerate(sockets):
            socket_.send(Opcode.TEXT, f"{number}: {turn}".encode())
        for number, socket_ in enumerate(sockets):
            assert socket_.message() == f"{number}: {turn}".encode()


def unread():
    connection = Connection()
    stuck, other = connection.open().expect("200"), connection.open().expect("200")
    stuck.unread = True
    # More than its window takes back, and not more than the one of the connection.
    connection.h2.increment_flow_control_window(1 << 20)
    stuck.send(Opcode.BINARY, bytes(200000))
    for size in (10, 1000, 50000):
        message = os.urandom(size)
        other.send(Opcode.BINARY, message)
        assert other.message() == message


globals()[WHAT]()
