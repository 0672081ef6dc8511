"""A gRPC client by `grpcio`, over TLS: ask.py HOST PORT CA WHAT

Owns what a caller may expect of each kind of call, of deadlines, of statuses without an answer and
behind one, and of cancelling.
"""

import concurrent.futures
import os
import queue
import sys
import time

import grpc

HOST, PORT, CA, WHAT = sys.argv[1:5]
PATIENCE = 25


def dial(**more):
    with open(CA, "rb") as ca:
        credentials = grpc.ssl_channel_credentials(ca.read())
    options = {
        "grpc.ssl_target_name_override": "app.example",
        "grpc.max_receive_message_length": 16 << 20,
        "grpc.max_send_message_length": 16 << 20,
        "grpc.enable_http_proxy": 0,
        **more,
    }
    return grpc.secure_channel(f"{HOST}:{PORT}", credentials, options=list(options.items()))


class Echo:
    """The service."""

    def __init__(self, channel):
        self.unary = channel.unary_unary("/echo.Echo/Unary")
        self.client_stream = channel.stream_unary("/echo.Echo/ClientStream")
        self.server_stream = channel.unary_stream("/echo.Echo/ServerStream")
        self.both = channel.stream_stream("/echo.Echo/Both")
        self.events = channel.unary_unary("/echo.Echo/Events")
        self.missing = channel.unary_unary("/echo.Echo/Missing")

    def wait_for(self, event):
        """Until the service says that this has happened."""
        end = time.monotonic() + PATIENCE
        while event not in self.events(b"", timeout=PATIENCE).decode().split("\n"):
            assert time.monotonic() < end, event
            time.sleep(0.02)


def fails(call, code, details=None):
    """The call fails with this code."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        assert details is None or error.details() == details, error.details()
        return error
    raise AssertionError(f"no {code}")


def unary(echo):
    for size in (0, 1, 16379, 65535, 1 << 20, 8 << 20):
        message = os.urandom(size)
        assert echo.unary(message, timeout=PATIENCE) == message, size


def compression(echo):
    message = bytes(1 << 20)
    assert echo.unary(message, timeout=PATIENCE, compression=grpc.Compression.Gzip) == message


def metadata(echo):
    binary = bytes(range(256))
    sent = (("x-asked", "a value"), ("x-data-bin", binary))
    response, call = echo.unary.with_call(b"metadata", timeout=PATIENCE, metadata=sent)
    initial = dict(call.initial_metadata())
    trailing = dict(call.trailing_metadata())
    assert initial["x-initial"] == "a value", initial
    assert trailing["x-trailing"] == "yes" and trailing["x-data-bin"] == binary, trailing


def client_stream(echo):
    messages = [os.urandom(size) for size in (1, 0, 100000, 7, 1 << 20)]
    assert echo.client_stream(iter(messages), timeout=PATIENCE) == b"".join(messages)
    assert echo.client_stream(iter([]), timeout=PATIENCE) == b""


def server_stream(echo):
    for count in (0, 1, 5000):
        got = list(echo.server_stream(str(count).encode(), timeout=PATIENCE))
        assert got == [str(number).encode() for number in range(count)]


def both(echo):
    """Each message is sent only when the one before it has come back."""
    messages = queue.Queue()
    answers = echo.both(iter(messages.get, None), timeout=PATIENCE)
    for number in range(200):
        message = str(number).encode() * 50
        messages.put(message)
        assert next(answers) == message
    messages.put(None)
    assert list(answers) == []


def deadlines(echo):
    begin = time.monotonic()
    fails(lambda: echo.unary(b"wait", timeout=0.5), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert time.monotonic() - begin < 10
    echo.wait_for("unary ended")
    endless = echo.server_stream(b"endless", timeout=0.5)
    fails(lambda: list(endless), grpc.StatusCode.DEADLINE_EXCEEDED)
    echo.wait_for("endless ended")


def cancelling(echo):
    call = echo.unary.future(b"wait")
    echo.wait_for("unary began")
    call.cancel()
    echo.wait_for("unary ended")
    stream = echo.server_stream(b"endless")
    for _ in range(3):
        next(stream)
    stream.cancel()
    echo.wait_for("endless ended")
    # The connection is none the worse for it.
    assert echo.unary(b"still", timeout=PATIENCE) == b"still"


def statuses(echo):
    # With nothing but trailers, behind content, and for what the service does not know.
    details = "no such thing: äöü, 100%"
    fails(lambda: echo.unary(b"abort", timeout=PATIENCE), grpc.StatusCode.NOT_FOUND, details)
    late = "said behind the answer"
    fails(lambda: echo.unary(b"late", timeout=PATIENCE), grpc.StatusCode.RESOURCE_EXHAUSTED, late)
    fails(lambda: echo.missing(b"", timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED)
    stream = echo.both(iter([b"one", b"break"]), timeout=PATIENCE)
    assert next(stream) == b"one"
    fails(lambda: next(stream), grpc.StatusCode.ABORTED, "broken off in the middle")


def many(echo):
    def one(number):
        message = os.urandom(1000 + number)
        assert echo.unary(message, timeout=PATIENCE) == message
        got = list(echo.server_stream(b"20", timeout=PATIENCE))
        assert len(got) == 20

    with concurrent.futures.ThreadPoolExecutor(80) as pool:
        list(pool.map(one, range(400)))


def unavailable(echo):
    """Nobody is behind the proxy: the answer is one of HTTP, which has a meaning here as well."""
    fails(lambda: echo.unary(b"", timeout=PATIENCE), grpc.StatusCode.UNAVAILABLE)


with dial() as channel:
    globals()[WHAT](Echo(channel))
