"""A collector of traces: takes OTLP over HTTP and says what it has understood.

    collector.py [CERTIFICATE_AND_KEY]

It listens on a free port of 127.0.0.1, with TLS if it is given a file, and prints `listening PORT`,
then a line of JSON for each request: {"path", "headers", "spans"}. What it answers is said on stdin,
a line each, and holds from then on: `taken`, `partial N` (so many spans are not wanted), `status
CODE [RETRY_AFTER]`, `silent` (no answer at all). The messages are decoded by the classes of package
opentelemetry-proto; a field that these do not know is an error.
"""

import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

order = ["taken"]
saying = threading.Lock()


def check(message):
    """Every field has to be known, all the way down."""
    unknown = [field.field_number for field in UnknownFieldSet(message)]
    assert not unknown, f"{type(message).__name__} has no fields {unknown}"
    for _, value in message.ListFields():
        for one in [value] if isinstance(value, Message) else value if is_list(value) else []:
            if isinstance(one, Message):
                check(one)


def is_list(value):
    return not isinstance(value, (str, bytes, int, float, bool, Message))


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def attributes(pairs):
    names = [pair.key for pair in pairs]
    assert len(set(names)) == len(names), f"an attribute twice: {names}"
    return {pair.key: value(pair.value) for pair in pairs}


def spans(message):
    for of_resource in message.resource_spans:
        resource = attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                assert len(span.trace_id) == 16 and len(span.span_id) == 8, span
                assert len(span.parent_span_id) in (0, 8), span
                assert span.start_time_unix_nano <= span.end_time_unix_nano, span
                yield {
                    "resource": resource,
                    "scope": of_scope.scope.name,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "state": span.trace_state,
                    "flags": span.flags,
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": Status.StatusCode.Name(span.status.code),
                    "message": span.status.message,
                    "attributes": attributes(span.attributes),
                }


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.headers["content-type"] == "application/x-protobuf"
        message = ExportTraceServiceRequest.FromString(body)
        check(message)
        found = list(spans(message))
        what, *more = order
        told = {"path": self.path, "headers": dict(self.headers), "answer": what, "spans": found}
        with saying:
            print(json.dumps(told), flush=True)
        if what == "silent":
            threading.Event().wait()
        answer = ExportTraceServiceResponse()
        if what == "partial":
            answer.partial_success.rejected_spans = int(more[0])
            answer.partial_success.error_message = "not wanted"
        self.send_response(int(more[0]) if what == "status" else 200)
        if what == "status" and len(more) > 1:
            self.send_header("Retry-After", more[1])
        content = answer.SerializeToString()
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
server.daemon_threads = True
if len(sys.argv) > 1:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[1])
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"listening {server.server_port}", flush=True)
for line in sys.stdin:
    order = line.split()
    with saying:
        print(json.dumps({"order": line.strip()}), flush=True)
