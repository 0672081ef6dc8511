//! A foreign client that never blocks: it is told to wait at every step, and gets there.

use portunus_tests::{Proxy, echo, foreign, tls};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_wants_to_read_and_to_write_at_every_step_gets_there() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let address = proxy.address("tls");
    for version in ["TLSv1_2", "TLSv1_3"] {
        for step in [MEMORY, SOCKET] {
            let Some(python) = foreign::python() else { return };
            let program = python.args(["-c", &format!("{COMMON}{step}")]);
            let program = program.args([address.ip().to_string(), address.port().to_string()]);
            let output = program.arg(proxy.ca()).arg(version).run().await.expect_success();
            let wants: Vec<u32> =
                output.split_whitespace().map(|count| count.parse().unwrap()).collect();
            assert!(wants.len() == 2 && wants.iter().all(|&count| count > 0), "{output}");
        }
    }
}

const COMMON: &str = "\
import os, select, socket, ssl, sys
host, port, ca, version = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
sock = socket.create_connection((host, int(port)), 20)
reads = writes = 0
";

/// TLS without a socket: the program carries every byte between them by itself, one at a time.
const MEMORY: &str = "
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_hostname='app.example')
def carry(act):
    global reads, writes
    while True:
        try:
            result = act()
            done = True
        except ssl.SSLWantReadError:
            done = False
        while outgoing.pending:
            writes += 1
            sock.sendall(outgoing.read(1))
        if done:
            return result
        reads += 1
        byte = sock.recv(1)
        if not byte:
            sys.exit('the proxy closed')
        incoming.write(byte)
carry(tls.do_handshake)
carry(lambda: tls.write(b'hello'))
assert carry(lambda: tls.read(5)) == b'hello'
print(reads, writes)
";

/// A non-blocking socket with so little room that it is full again and again.
const SOCKET: &str = "
sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
sock.setblocking(False)
tls = context.wrap_socket(sock, server_hostname='app.example', do_handshake_on_connect=False)
def when(act):
    global reads, writes
    try:
        return act()
    except ssl.SSLWantReadError:
        reads += 1
    except ssl.SSLWantWriteError:
        writes += 1
    return None
def shaken():
    tls.do_handshake()
    return True
while not when(shaken):
    select.select([tls], [], [], 20)
sent = os.urandom(1 << 20)
left, back = memoryview(sent), bytearray()
while len(back) < len(sent):
    if left:
        left = left[when(lambda: tls.send(left[:16384])) or 0:]
    got = when(lambda: tls.recv(65536))
    if got == b'':
        sys.exit('the proxy closed')
    if got:
        back += got
    else:
        select.select([tls], [tls] if left else [], [], 20)
assert bytes(back) == sent
print(reads, writes)
";
