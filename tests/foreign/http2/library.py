"""Whole exchanges under the eyes of `h2`, whose state machine refuses what must not be sent."""

import socket
import ssl

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from judge import CASES, equal
from peer import NAME, PATIENCE, Peer, Violation


class Client:
    """A connection that `h2` keeps."""

    def __init__(self, settings=None):
        context = ssl.create_default_context(cafile=Peer.ca)
        context.set_alpn_protocols(["h2"])
        tcp = socket.create_connection(Peer.where, PATIENCE)
        self.tls = context.wrap_socket(tcp, server_hostname=NAME)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        if settings:
            own = h2.settings.Settings(client=True, initial_values=settings)
            self.h2.local_settings = own
            self.h2.max_inbound_frame_size = own.max_frame_size
        self.h2.initiate_connection()
        self.flush()
        self.answers = {}
        self.content = {}
        self.ended = set()
        self.reset = {}
        self.farewell = None

    def flush(self):
        self.tls.sendall(self.h2.data_to_send())

    def ask(self, path, method="GET", content=None, fields=()):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", NAME), (":path", path)]
        self.h2.send_headers(stream, head + list(fields), end_stream=content is None)
        self.flush()
        if content is not None:
            self.upload(stream, content)
        return stream

    def upload(self, stream, content):
        while content:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                self.turn()
                continue
            self.h2.send_data(stream, content[:room])
            content = content[room:]
            self.flush()
        self.h2.end_stream(stream)
        self.flush()

    def turn(self):
        """Reads what there is; false at the end of the connection."""
        more = self.tls.recv(65536)
        if not more:
            return False
        for event in self.h2.receive_data(more):
            self.note(event)
        self.flush()
        return True

    def note(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            self.answers[event.stream_id] = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            kept = self.content.setdefault(event.stream_id, bytearray())
            kept += event.data
            if event.flow_controlled_length:
                length = event.flow_controlled_length
                self.h2.acknowledge_received_data(length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.reset[event.stream_id] = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.farewell = event

    def until(self, stream):
        while stream not in self.ended:
            if stream in self.reset:
                raise Violation(f"stream {stream} was reset: {self.reset[stream]}")
            if not self.turn():
                raise Violation("closed before the answer was complete")
        return self.answers[stream][":status"], bytes(self.content.get(stream, b""))


def case(requirement, settings=None):
    """Makes a function of a client into a case."""

    def register(judged):
        def run():
            client = Client(settings)
            try:
                judged(client)
            except h2.exceptions.ProtocolError as error:
                raise Violation(f"the server broke the protocol: {error!r}") from error
            finally:
                client.tls.close()

        CASES.append(("8.1", requirement, run, False))
        return judged

    return register


def filler(count):
    """What the backend sends."""
    return bytes(place % 251 for place in range(count))


@case("a hundred requests, one behind the other")
def _(client):
    for _ in range(100):
        equal(client.until(client.ask("/bytes/300")), ("200", filler(300)), "answer")


@case("ninety requests at once")
def _(client):
    streams = [client.ask(f"/bytes/{1000 + count}") for count in range(90)]
    for count, stream in enumerate(streams):
        equal(client.until(stream), ("200", filler(1000 + count)), "answer")


@case("a mebibyte there and back")
def _(client):
    content = filler(1 << 20)
    status, back = client.until(client.ask("/echo", "POST", content))
    equal((status, back == content), ("200", True), "answer")


@case(
    "a mebibyte in chunks, with small frames and windows",
    {
        h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 5000,
    },
)
def _(client):
    equal(client.until(client.ask("/chunks/1048576")), ("200", filler(1 << 20)), "answer")


@case(
    "a mebibyte with the largest frames",
    {
        h2.settings.SettingCodes.MAX_FRAME_SIZE: (1 << 24) - 1,
        h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: (1 << 31) - 1,
    },
)
def _(client):
    equal(client.until(client.ask("/bytes/1048576")), ("200", filler(1 << 20)), "answer")


@case("every status")
def _(client):
    for status in (200, 201, 204, 301, 304, 400, 404, 418, 500, 503, 599):
        equal(client.until(client.ask(f"/status/{status}"))[0], str(status), "status")


@case("HEAD, with a length and without content")
def _(client):
    stream = client.ask("/bytes/1234", "HEAD")
    equal(client.until(stream), ("200", b""), "answer")
    equal(client.answers[stream]["content-length"], "1234", "length")


@case("resets among answers", {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100})
def _(client):
    for _ in range(20):
        gone = client.ask("/bytes/100000")
        while gone not in client.content:
            client.turn()
        client.h2.reset_stream(gone)
        client.flush()
        equal(client.until(client.ask("/bytes/50")), ("200", filler(50)), "answer")
