"""Says hello on $PORT. All that neuroca-deploy asks of a component is in this file."""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive: the edge proxy uses a connection again

    def do_GET(self):
        known = self.path in ("/", "/health/ready")
        body = (os.environ.get("GREETING", "Hello") + "\n").encode() if known else b"not here\n"
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        print(format % args, flush=True)


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello)
# shutdown() waits for serve_forever() and so must not run in its thread, where signals arrive.
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
