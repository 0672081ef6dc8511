"""A real browser, led by ChromeDriver (W3C WebDriver), that says what a page does to its reader.

    browser.py look URL [FOLDER]     in the light and in the dark, on a desk and on a phone
    browser.py attack URL            what a page of another site can do with URL

`look` writes what it saw as JSON: the title, elements by name, messages of the console, addresses
that were asked, and for each view how much is cut off and the faintest text; screenshots go into
FOLDER. `attack` first shows the browser the password in URL, and writes what came of every request
that the other page then made.
"""

import base64
import http.server
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from urllib.parse import urlsplit

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --disable-dev-shm-usage "
    "--hide-scrollbars"
).split()

VIEWS = [
    ("desk-light", 1280, 900, "light"),
    ("desk-dark", 1280, 900, "dark"),
    ("phone-light", 390, 844, "light"),
    ("phone-dark", 390, 844, "dark"),
]

# What is cut off, what is told twice or not at all, and the least contrast of any text with what
# is behind it (WCAG 2.2 §1.4.3).
LOOK = """
const rgb = (text) => (text.match(/[0-9.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b]
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = rgb(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
let faintest = [99, ""];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const under = ground(element);
  const over = rgb(style.color).slice(0, 3).map(
      (c, i) => c * style.opacity + under[i] * (1 - style.opacity));
  const [dark, bright] = [light(over), light(under)].sort((a, b) => a - b);
  const contrast = (bright + 0.05) / (dark + 0.05);
  if (contrast < faintest[0]) faintest = [contrast, texts.currentNode.data.trim().slice(0, 60)];
}
return {
  cut_off: document.documentElement.scrollWidth - innerWidth,
  contrast: faintest[0],
  faintest: faintest[1],
  ground: getComputedStyle(document.body).backgroundColor,
  columns: getComputedStyle(document.querySelector("table")).display,
};
"""

COUNT = """
const count = (selector) => document.querySelectorAll(selector).length;
return {
  title: document.title,
  text: document.body.innerText,
  scripts: count("script, iframe, object, embed, form, [onerror], [onload], [onclick]"),
  styled: count("[style]"),
  heads_without_scope: count("th:not([scope])"),
  tables: count("table"),
  unnamed: count("table:not([aria-label]), section:not([aria-labelledby]), html:not([lang])"),
  first_heads: count("h1"),
  refreshes: count("meta[http-equiv=refresh]"),
};
"""


class Browser:
    """A browser of its own, without a past."""

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = ["chromedriver", f"--port={port}", "--log-level=OFF"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.driver = subprocess.Popen(command, **quiet)
        self.base = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                self.ask("GET", "/status")
                break
            except OSError:
                time.sleep(0.1)
        options = {"args": [*FLAGS, f"--user-data-dir={self.profile.name}"]}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.base += f"/session/{session['sessionId']}"
        # The browser has pages of its own, which are nobody's fault.
        self.open("about:blank")
        self.traffic()
        return self

    def __exit__(self, *_):
        try:
            self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.profile.cleanup()

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script):
        return self.ask("POST", "/execute/sync", {"script": script, "args": []})

    def emulate(self, command, **parameters):
        body = {"cmd": f"Emulation.{command}", "params": parameters}
        self.ask("POST", "/goog/cdp/execute", body)

    def console(self):
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"})]

    def traffic(self):
        """What the browser said of the network since it was asked last."""
        entries = self.ask("POST", "/se/log", {"type": "performance"})
        return [json.loads(entry["message"])["message"] for entry in entries]


def look(url, folder):
    with Browser() as browser:
        browser.open(url)
        told = browser.run(COUNT)
        told["views"] = {}
        for name, width, height, theme in VIEWS:
            scheme = {"name": "prefers-color-scheme", "value": theme}
            browser.emulate("setEmulatedMedia", features=[scheme])
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.emulate("setDeviceMetricsOverride", **size)
            told["views"][name] = browser.run(LOOK)
            if folder:
                size["height"] = browser.run("return document.documentElement.scrollHeight")
                browser.emulate("setDeviceMetricsOverride", **size)
                with open(f"{folder}/{name}.png", "wb") as file:
                    file.write(base64.b64decode(browser.ask("GET", "/screenshot")))
        told["console"] = browser.console()
        sent = [one for one in browser.traffic() if one["method"] == "Network.requestWillBeSent"]
        urls = [one["params"]["request"]["url"] for one in sent]
        told["asked"] = sorted(url for url in urls if not url.startswith(("data:", "chrome:")))
        return told


# What the other page asks for.
PATHS = ["/", "/drain", "/metrics", "/reload", "/status", "/upgrade"]

ATTACK = """<!doctype html><title>another site</title>
<img src="{there}/status"><script src="{there}/status"></script><iframe src="{there}/"></iframe>
<iframe name="sink"></iframe><form method="post" action="{there}/drain" target="sink"></form>
<script>
  document.forms[0].submit();
  const ask = (path, method) =>
    fetch("{there}" + path, {{ method, mode: "no-cors", credentials: "include" }}).catch(() => 0);
  Promise.all([ask("/reload", "POST"), ask("/metrics", "GET"), ask("/upgrade", "POST")])
    .then(() => setTimeout(() => (document.title = "finished"), 500));
</script>
"""


def attack(url):
    parts = urlsplit(url)
    there = f"http://{parts.hostname}:{parts.port}"

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = ATTACK.format(there=there).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page if self.path == "/" else b"")

        def log_message(self, *_):
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    with Browser() as browser:
        browser.open(url)
        browser.open(f"{there}/status")
        inside = browser.run("return document.body.innerText")
        browser.traffic()
        # The same machine under another name is another site.
        browser.open(f"http://localhost:{site.server_port}/")
        asked, seen, answers = {}, [], {}
        for _ in range(100):
            # Events come late, and not in the order of what they are about.
            entries = browser.traffic()
            for one in entries:
                if one["method"] == "Network.requestWillBeSent":
                    asked[one["params"]["requestId"]] = one["params"]["request"]["url"]
            seen += entries
            answers = answers_of(seen, asked, there)
            if browser.run("return document.title") == "finished" and len(answers) == len(PATHS):
                break
            time.sleep(0.1)
        return {"inside": inside[:1], "answers": answers}


def answers_of(events, asked, there):
    """The status of each answer, also of those that the page does not get to see."""
    answers = {}
    for one in events:
        what, told = one["method"], one["params"]
        if what == "Network.responseReceived":
            note(answers, there, told["response"]["url"], told["response"]["status"])
        elif what == "Network.responseReceivedExtraInfo":
            note(answers, there, asked.get(told["requestId"], ""), told["statusCode"])
    return answers


def note(answers, there, url, status):
    """Keeps the least status of what is asked there: one that is not refused is seen."""
    if url.startswith(there):
        path = url.removeprefix(there)
        answers[path] = min(status, answers.get(path, status))


if __name__ == "__main__":
    command, url, *rest = sys.argv[1:]
    result = look(url, rest[0] if rest else None) if command == "look" else attack(url)
    json.dump(result, sys.stdout)
