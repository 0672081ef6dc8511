"""The first words of OpenSSL's clients, without a connection.

    client_hello(NAME, prepare)

is the ClientHello that asks for NAME, or for none, by a context that `prepare` has had its way with.
"""

import ssl


def client_hello(name, prepare):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    prepare(context)
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()
