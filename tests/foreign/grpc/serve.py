"""A gRPC service by `grpcio`, in clear text on a free port of 127.0.0.1, which it says.

Messages are bytes, so that nothing has to be generated. `/echo.Echo/Events` tells what became of
the calls that were to be cancelled.
"""

import concurrent.futures
import threading
import time

import grpc

EVENTS = []
PAUSE = 0.02


def unary(request, context):
    if request == b"metadata":
        given = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-initial", given.get("x-asked", "")),))
        context.set_trailing_metadata((("x-trailing", "yes"), ("x-data-bin", given["x-data-bin"])))
    if request == b"abort":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: äöü, 100%")
    if request == b"late":
        context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
        context.set_details("said behind the answer")
    if request == b"wait":
        wait(context, "unary")
    return request


def wait(context, name):
    """Waits until the call is over, and keeps in mind that it was."""
    over = threading.Event()
    if context.add_callback(over.set):
        EVENTS.append(f"{name} began")
        over.wait(30)
    EVENTS.append(f"{name} ended")


def client_stream(requests, context):
    return b"".join(requests)


def server_stream(request, context):
    if request == b"endless":
        context.add_callback(lambda: EVENTS.append("endless ended"))
        EVENTS.append("endless began")
        for number in range(1 << 30):
            if not context.is_active():
                return
            yield bytes(1000)
            time.sleep(PAUSE)
    for number in range(int(request)):
        yield str(number).encode()


def both(requests, context):
    for request in requests:
        if request == b"break":
            context.abort(grpc.StatusCode.ABORTED, "broken off in the middle")
        yield request


def events(request, context):
    return "\n".join(EVENTS).encode()


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Events": grpc.unary_unary_rpc_method_handler(events),
}
OPTIONS = [
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", 16 << 20),
]
server = grpc.server(concurrent.futures.ThreadPoolExecutor(120), options=OPTIONS)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("echo.Echo", HANDLERS)])
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
