"""The JA4 fingerprints of ClientHellos, by `ja4plus`.

    ja4.py NAME

makes ClientHellos as several kinds of OpenSSL's clients do, which ask for NAME, reads more of them
from stdin, a line of hexadecimal digits each, and says for each its fingerprint and its digits.
"""

import ssl
import sys

from ja4plus.fingerprinters.ja4 import generate_ja4
from ja4plus.utils.tls_utils import parse_tls_handshake

from client_hello import client_hello

ALPN = [None, ["h2", "http/1.1"], ["x"]]
CIPHERS = [None, "ALL:@SECLEVEL=0"]


def hellos(name):
    for versions in (("TLSv1_2", "TLSv1_3"), ("TLSv1_2", "TLSv1_2"), ("TLSv1_3", "TLSv1_3")):
        for protocols in ALPN:
            for ciphers in CIPHERS:
                for asked in (name, None):
                    yield hello(versions, protocols, ciphers, asked)


def hello(versions, protocols, ciphers, name):
    def prepare(context):
        context.minimum_version = getattr(ssl.TLSVersion, versions[0])
        context.maximum_version = getattr(ssl.TLSVersion, versions[1])
        if protocols:
            context.set_alpn_protocols(protocols)
        if ciphers:
            context.set_ciphers(ciphers)

    return client_hello(name, prepare)


said = [bytes.fromhex(line) for line in sys.stdin.read().split()]
for records in [*hellos(sys.argv[1]), *said]:
    print(generate_ja4(parse_tls_handshake(records)), records.hex())
