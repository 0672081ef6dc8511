"""The servers that are compared, and how each is told to do the same thing.

Owns one function for each server, from a task to its configuration and command line; nothing
else in this folder knows a server by name. Every server listens on one port with the same
certificate, offers one cipher suite of each TLS version and X25519, has one worker, writes no
access log, and does one of these:

    tls13   HTTP/1.1 and HTTP/2 to the HTTP backend; TLS 1.3 resumption in the server's best mode
    tls12   the same, with sessions kept in the server for resumption by TLS 1.2 session id
    tcp     a tunnel to the byte backend

What is not said here is left as the server has it.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

SUITE_TLS12 = "ECDHE-ECDSA-AES128-GCM-SHA256"
SUITE_TLS13 = "TLS_AES_128_GCM_SHA256"
GROUP = "X25519"


@dataclass
class Task:
    """What a server is started for."""

    kind: str  # tls13, tls12 or tcp
    folder: str  # its own, for its configuration and whatever it writes
    port: int
    backend: int
    chain: str  # certificate and authority
    key: str
    both: str  # key and certificate in one file
    certificates: str  # a folder with chain and key, and nothing else


def portunus(task, binary):
    mode = "tcp" if task.kind == "tcp" else "http"
    config = _write(task, "config.toml", f"""
[server]
workers = 1
[admin]
listen = "off"
[limits.http]
requests = 100000000
pool_idle = 256
[certificates]
paths = ["{task.certificates}"]
[listener.bench]
listen = ["127.0.0.1:{task.port}"]
mode = "{mode}"
backend = "app"
[backend.app]
endpoints = ["127.0.0.1:{task.backend}"]
""")
    return [binary, "run", "--config", config]


def nginx(task, binary):
    tls = f"""
    ssl_certificate {task.chain};
    ssl_certificate_key {task.key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers {SUITE_TLS12};
    ssl_conf_command Ciphersuites {SUITE_TLS13};
    ssl_ecdh_curve {GROUP};
    ssl_session_tickets {"off" if task.kind == "tls12" else "on"};
    ssl_session_cache {"shared:sessions:16m" if task.kind == "tls12" else "none"};
"""
    http = f"""
http {{
  access_log off;
  client_body_temp_path {task.folder};
  proxy_temp_path {task.folder};
  fastcgi_temp_path {task.folder};
  uwsgi_temp_path {task.folder};
  scgi_temp_path {task.folder};
  keepalive_requests 100000000;
  keepalive_timeout 600s;
  upstream app {{ server 127.0.0.1:{task.backend}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{task.port} ssl http2 backlog=4096;
    {tls}
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
}}
"""
    stream = f"""
stream {{
  server {{
    listen 127.0.0.1:{task.port} ssl backlog=4096;
    {tls}
    proxy_pass 127.0.0.1:{task.backend};
  }}
}}
"""
    module = ""
    if task.kind == "tcp" and os.path.exists(NGINX_STREAM_MODULE):
        module = f"load_module {NGINX_STREAM_MODULE};"
    config = _write(task, "nginx.conf", f"""
{module}
user root;
worker_processes 1;
daemon off;
pid {task.folder}/nginx.pid;
error_log {task.folder}/error.log crit;
events {{ worker_connections 16384; }}
{stream if task.kind == "tcp" else http}
""")
    return [binary, "-p", task.folder, "-c", config]


def haproxy(task, binary):
    # Its cache takes TLS 1.3 sessions as well, which tickets make useless: off where not needed.
    cache = 50000 if task.kind == "tls12" else 0
    tickets = "no-tls-tickets" if task.kind == "tls12" else ""
    protocols = "" if task.kind == "tcp" else "alpn h2,http/1.1"
    mode = "tcp" if task.kind == "tcp" else "http\n  http-reuse always"
    config = _write(task, "haproxy.cfg", f"""
global
  nbthread 1
  maxconn 8000
  tune.ssl.cachesize {cache}
  ssl-default-bind-ciphers {SUITE_TLS12}
  ssl-default-bind-ciphersuites {SUITE_TLS13}
defaults
  mode {mode}
  timeout connect 10s
  timeout client 600s
  timeout server 600s
listen bench
  bind 127.0.0.1:{task.port} ssl crt {task.both} curves {GROUP} {protocols} {tickets} backlog 4096
  server app 127.0.0.1:{task.backend}
""")
    return [binary, "-db", "-f", config]


def hitch(task, binary):
    # It will not work as root; the files are read before it changes.
    user = 'user = "nobody"' if os.geteuid() == 0 else ""
    config = _write(task, "hitch.conf", f"""
{user}
frontend = "[127.0.0.1]:{task.port}"
backend = "[127.0.0.1]:{task.backend}"
pem-file = "{task.both}"
workers = 1
backlog = 4096
tls-protos = TLSv1.2 TLSv1.3
ciphers = "{SUITE_TLS12}"
ciphersuites = "{SUITE_TLS13}"
ecdh-curve = "{GROUP}"
ocsp-dir = ""
log-level = 1
""")
    return [binary, "--config", config]


def stunnel4(task, binary):
    config = _write(task, "stunnel.conf", f"""
foreground = yes
pid =
syslog = no
debug = err
[bench]
accept = 127.0.0.1:{task.port}
connect = 127.0.0.1:{task.backend}
cert = {task.both}
sslVersionMin = TLSv1.2
ciphers = {SUITE_TLS12}
ciphersuites = {SUITE_TLS13}
curves = {GROUP}
{"options = NO_TICKET" if task.kind == "tls12" else ""}
""")
    return [binary, config]


@dataclass(frozen=True)
class Server:
    """One of those that are compared."""

    name: str
    command: object  # (task, binary) -> argv
    kinds: tuple  # what it can be started for
    package: str  # Debian's, for who lacks it
    version: tuple  # how it tells its version
    http: bool = True  # whether it speaks HTTP; if not, it tunnels whatever it is started for

    def binary(self):
        """Where it is, or None."""
        path = os.environ["PATH"] + ":/usr/local/sbin:/usr/sbin:/sbin"
        return shutil.which(self.name, path=path)

    def lacks(self, binary):
        """Why it cannot be used although it is there, or None."""
        if self.name == "nginx" and not os.path.exists(NGINX_STREAM_MODULE):
            if "--with-stream=dynamic" in _output([binary, "-V"]):
                return "lacks its stream module"
        return None

    def describe(self, binary):
        """Its version, and that of the OpenSSL under it if it says so, in one line."""
        text = _output([binary, *self.version])
        lines = (line.strip() for line in text.splitlines())
        first = next((line for line in lines if re.search(r"\d", line)), "unknown")
        openssl = re.search(
            r"(?:[Rr]unning +with|Running on OpenSSL version :) *(OpenSSL )?([^\s)]+)", text)
        return f"{first}, OpenSSL {openssl.group(2)}" if openssl else first


NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

SERVERS = [
    Server("portunus", portunus, ("tls13", "tls12", "tcp"), "", ("--version",)),
    Server("nginx", nginx, ("tls13", "tls12", "tcp"), "nginx-light libnginx-mod-stream", ("-V",)),
    Server("haproxy", haproxy, ("tls13", "tls12", "tcp"), "haproxy", ("-vv",)),
    Server("hitch", hitch, ("tls13", "tls12", "tcp"), "hitch", ("--version",), http=False),
    Server("stunnel4", stunnel4, ("tls13", "tls12", "tcp"), "stunnel4", ("-version",), http=False),
]


def _write(task, name, text):
    path = os.path.join(task.folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.lstrip())
    return path


def _output(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout + done.stderr
