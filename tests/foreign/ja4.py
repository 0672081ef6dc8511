"""The JA4 fingerprints of ClientHellos, by `ja4plus`.

    ja4.py NAME

makes ClientHellos as several kinds of OpenSSL's clients do, which ask for NAME, reads more of them
from stdin, a line of hexadecimal digits each, and says for each its fingerprint and its digits.
"""

import ssl
import sys

from ja4plus.fingerprinters.ja4 import generate_ja4
from ja4plus.utils.tls_utils import parse_tls_handshake

ALPN = [None, ["h2", "http/1.1"], ["x"]]
CIPHERS = [None, "ALL:@SECLEVEL=0"]


def hellos(name):
    for versions in (("TLSv1_2", "TLSv1_3"), ("TLSv1_2", "TLSv1_2"), ("TLSv1_3", "TLSv1_3")):
        for protocols in ALPN:
            for ciphers in CIPHERS:
                for asked in (name, None):
                    yield hello(versions, protocols, ciphers, asked)


def hello(versions, protocols, ciphers, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = getattr(ssl.TLSVersion, versions[0])
    context.maximum_version = getattr(ssl.TLSVersion, versions[1])
    if protocols:
        context.set_alpn_protocols(protocols)
    if ciphers:
        context.set_ciphers(ciphers)
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


said = [bytes.fromhex(line) for line in sys.stdin.read().split()]
for records in [*hellos(sys.argv[1]), *said]:
    print(generate_ja4(parse_tls_handshake(records)), records.hex())
