"""What a measurement has at hand: a folder, a certificate, the backend, the cores, the clients.

Owns what is alike whatever is measured. Refuses to know what that is, and in which unit.
"""

import json
import os
import subprocess
import tempfile

import process
import servers

LEG_SECONDS_MAX = 180


class Failure(Exception):
    """Why there is no figure."""


class Bench:
    """What a run has at hand: a folder, a certificate, the backend, the cores."""

    def __init__(self, stack, load):
        self.stack = stack
        self.load = load
        cores = sorted(os.sched_getaffinity(0))
        self.server_core, self.load_core = cores[:2] if len(cores) > 1 else (None, None)
        self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="portunus-bench-"))
        os.chmod(self.folder, 0o755)
        self.certificate()
        self.backend = process.start([load, "backend"], self.load_core,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(process.stop, self.backend)
        self.http_port, self.byte_port = map(int, self.backend.stdout.readline().split())

    def certificate(self):
        """An authority and a P-256 leaf for bench.test, by openssl."""
        folder = os.path.join(self.folder, "certificates")
        os.mkdir(folder)
        self.chain, self.key = (os.path.join(folder, name) for name in ("bench.crt", "bench.key"))
        self.both = os.path.join(self.folder, "both.pem")
        self.certificates = folder
        ca = [os.path.join(self.folder, name) for name in ("ca.crt", "ca.key")]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        for arguments in (
            ["-subj", "/CN=Benchmark CA", "-out", ca[0], "-keyout", ca[1]],
            ["-subj", "/CN=bench.test", "-out", self.chain, "-keyout", self.key,
             "-CA", ca[0], "-CAkey", ca[1], "-addext", "subjectAltName=DNS:bench.test",
             "-addext", "basicConstraints=critical,CA:FALSE"],
        ):
            done = subprocess.run(["openssl", "req", "-x509", *curve, *arguments],
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Failure(f"openssl made no certificate: {done.stderr.strip()}")
        os.chmod(self.key, 0o600)
        with open(self.both, "w", encoding="ascii") as both:
            os.chmod(self.both, 0o600)
            for part in (self.key, self.chain):
                with open(part, encoding="ascii") as file:
                    both.write(file.read())

    def start(self, server, binary, kind, stack):
        """A server that is up, as its port and its process."""
        folder = tempfile.mkdtemp(prefix=f"{server.name}-{kind}-", dir=self.folder)
        http = server.http and kind != "tcp"
        port = process.free_port()
        task = servers.Task(kind, folder, port, self.http_port if http else self.byte_port,
                            self.chain, self.key, self.both, self.certificates)
        log = os.path.join(folder, "output")
        with open(log, "w", encoding="utf-8") as output:
            started = process.start(server.command(task, binary), self.server_core, output)
        stack.callback(process.stop, started)
        if not process.wait_for_port(started, port):
            with open(log, encoding="utf-8", errors="replace") as file:
                raise Failure(f"did not start: {file.read()[-500:].strip()}")
        return port, started.pid

    def client(self, load, count, port, stack):
        """A client that is warm and waits for the word to go."""
        command = [self.load, *load, "--address", f"127.0.0.1:{port}",
                   "--certificate", self.chain, "--count", str(count)]
        client = process.start(["timeout", str(LEG_SECONDS_MAX), *command], self.load_core,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        stack.callback(process.stop, client)
        self.expect(client, "ready")
        return client

    def go(self, client):
        """Has the client do its work, and returns what it did."""
        client.stdin.write("go\n")
        client.stdin.flush()
        return json.loads(self.expect(client, "{"))

    @staticmethod
    def expect(client, beginning):
        """The client's next line, if it is what it has to be."""
        line = client.stdout.readline()
        if not line.startswith(beginning):
            client.stdin.close()
            raise Failure(line.strip() or client.stderr.read().strip() or "the client is gone")
        return line
