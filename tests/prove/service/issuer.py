"""An OIDC issuer on a socket: its configuration and keys, and tokens that it has signed. The keys are openssl's."""

import base64
import http.server
import json
import subprocess
import threading


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Listens until `stop`; on the same port, with the same keys, again with `start`; `turn` takes another key."""

    def __init__(self, folder):
        self.folder, self.port, self.number = folder, 0, 0
        self.turn()
        self.start()

    def turn(self):
        self.number += 1
        self.key = self.folder / f"key-{self.number}.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.key], check=True)
        public = subprocess.run(
            ["openssl", "pkey", "-in", self.key, "-pubout", "-outform", "DER"], check=True, capture_output=True
        ).stdout
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "kid": str(self.number), "x": url64(public[-32:])}

    def start(self):
        issuer = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                configuration = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/jwks"}
                body = json.dumps({"keys": [issuer.jwk]} if self.path == "/jwks" else configuration).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Answers)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def token(self):
        claims = {"iss": self.url, "aud": "nca", "sub": "ann", "exp": 4_000_000_000, "tenant": "acme", "role": "agent"}
        head = {"alg": "EdDSA", "kid": self.jwk["kid"]}
        message = ".".join(url64(json.dumps(part).encode()) for part in (head, claims))
        text = self.folder / "message"
        text.write_text(message)
        signed = subprocess.run(
            ["openssl", "pkeyutl", "-sign", "-inkey", self.key, "-rawin", "-in", text], check=True, capture_output=True
        )
        return f"{message}.{url64(signed.stdout)}"
