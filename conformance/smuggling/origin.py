"""An origin that tells what it takes for requests: a line of JSON for each, in the file it is given.

Usage: python3 origin.py FILE
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOG = open(sys.argv[1], "a", encoding="utf-8")
LOCK = threading.Lock()


def tell(**seen):
    with LOCK:
        LOG.write(json.dumps(seen) + "\n")
        LOG.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def chunks(self):
        """The library leaves chunks to its users."""
        body = b""
        while True:
            line = self.rfile.readline(65537)
            size = int(line.split(b";", 1)[0], 16)
            if size == 0:
                while self.rfile.readline(65537) not in (b"\r\n", b"\n", b""):
                    pass
                return body
            body += self.rfile.read(size)
            self.rfile.readline(65537)

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self.chunks()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self):
        seen = {"method": self.command, "target": self.path, "via": self.headers.get("Via", "")}
        try:
            body = self.body()
        except ValueError:
            tell(aborted=True, body="", **seen)
            self.close_connection = True
            return
        tell(body=body.decode("latin1"), **seen)
        text = f"{self.command} {self.path}".encode("latin1")
        self.send_response(200)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def send_error(self, code, message=None, explain=None):
        tell(wrong=self.raw_requestline.decode("latin1"))
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Handler)
print(json.dumps({"origin": f"127.0.0.1:{server.server_port}"}), flush=True)
server.serve_forever()
