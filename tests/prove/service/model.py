"""A server that speaks OpenAI's chat completions and says what it was given: whatever gets into a prompt that does not
belong there is seen in an answer.
"""

import http.server
import json
import threading


class Echo(http.server.BaseHTTPRequestHandler):
    # One answer a connection: whoever was stopped answers on none.
    protocol_version = "HTTP/1.0"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = "\n".join(message["content"] for message in asked["messages"])
        usage = {"prompt_tokens": 100, "completion_tokens": 7}
        events = [
            {"choices": [{"index": 0, "delta": {"content": text}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": usage},
        ]
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


class Model:
    """Listens until `stop`; on the same port again with `start`."""

    def __init__(self):
        self.port = 0
        self.start()

    def start(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Echo)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def settings(self):
        """For `nca.Service`."""
        return {
            "LLM_PROVIDER": "openai-compatible", "LLM_MODEL": "echo",
            "LLM_BASE_URL": f"http://127.0.0.1:{self.port}/v1",
        }  # fmt: skip
